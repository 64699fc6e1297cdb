"""Faults of the contract between batch and model (TD001 to TD004)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    CNN_BATCH,
    CNN_FORWARD,
    CNN_IMAGE,
    CNN_STEM,
    GRU_CELL,
    GRU_FORWARD,
    GRU_IDS,
    GRU_PLACE,
    MLP_LOADER,
    MLP_STEM,
    TRANSFORMER_BATCH,
    TRANSFORMER_FORWARD,
    TRANSFORMER_LOADER,
    transformer_batch,
)

FORWARD_REJECTS_BATCH_KEY = (
    Edit(
        "TD001",
        "cnn",
        ((CNN_BATCH, 'return {"pixel_values": image, "labels": label, "ids": index}'),),
    ),
    Edit(
        "TD001",
        "gru",
        ((GRU_PLACE, GRU_PLACE + '\n        "lengths": torch.full((len(starts),), window),'),),
    ),
    Edit(
        "TD001",
        "transformer",
        (
            (
                TRANSFORMER_BATCH,
                transformer_batch(more=', "token_type_ids": torch.zeros_like(ids[1:])'),
            ),
        ),
    ),
)

BATCH_KEY_IGNORED = (
    Edit(
        "TD002",
        "cnn",
        (
            (CNN_FORWARD, "def forward(self, pixel_values, **kwargs):"),
            (CNN_BATCH, 'return {"pixel_values": image, "labels": label, "mask": image > 0.5}'),
        ),
    ),
    Edit(
        "TD002",
        "gru",
        (
            (GRU_FORWARD, "def forward(self, input_ids, place, **kwargs):"),
            (
                GRU_PLACE,
                GRU_PLACE + '\n        "weights": torch.linspace(0.5, 1.5, len(starts)),',
            ),
        ),
    ),
    Edit(
        "TD002",
        "transformer",
        (
            (TRANSFORMER_FORWARD, "def forward(self, input_ids, labels=None, **kwargs):"),
            (TRANSFORMER_BATCH, transformer_batch(more=', "loss_mask": ids[1:] > 0')),
        ),
    ),
)

BATCH_RANK_MISMATCH = (
    Edit(
        "TD003",
        "mlp",
        (
            (
                "radius * angle.sin(), radius], dim=1)",
                "radius * angle.sin(), radius, angle], dim=1)",
            ),
        ),
        lines=(MLP_STEM,),
    ),
    Edit("TD003", "cnn", ((CNN_IMAGE, CNN_IMAGE + "[None]"),), lines=(CNN_STEM,)),
    Edit(
        "TD003",
        "gru",
        ((GRU_IDS, "[[[ord(c)] for c in text[i : i + window]] for i in starts]"),),
        lines=(GRU_CELL,),
    ),
    Edit(
        "TD003",
        "transformer",
        ((TRANSFORMER_BATCH, transformer_batch(inputs="ids[None, :-1]")),),
        lines=("_, time = input_ids.shape",),
    ),
)

CNN_SAMPLES = """class Samples:
    def __init__(self, samples):
        self.pixel_values = torch.stack([sample["pixel_values"] for sample in samples])
        self.labels = torch.stack([sample["labels"] for sample in samples])


def loss_fn(outputs, batch):"""
MLP_POINTS = """class Points:
    def __init__(self, samples):
        self.features = torch.stack([features for features, _ in samples])
        self.arms = torch.stack([arm for _, arm in samples])


class MLP(nn.Module):"""
TRANSFORMER_SENTENCES = """class Sentences:
    def __init__(self, samples):
        self.input_ids = torch.stack([sample["input_ids"] for sample in samples])
        self.labels = torch.stack([sample["labels"] for sample in samples])


class Attention(nn.Module):"""

BATCH_NOT_A_MAPPING = (
    Edit(
        "TD004",
        "mlp",
        (
            ("class MLP(nn.Module):", MLP_POINTS),
            (MLP_LOADER, MLP_LOADER.replace("drop_last=True", "collate_fn=Points")),
        ),
    ),
    Edit(
        "TD004",
        "cnn",
        (
            ("def loss_fn(outputs, batch):", CNN_SAMPLES),
            ("shuffle=True, drop_last=True", "shuffle=True, collate_fn=Samples"),
        ),
    ),
    Edit(
        "TD004",
        "gru",
        (
            ("import torch\nimport", "from types import SimpleNamespace\n\nimport torch\nimport"),
            (
                "collate_fn=collate",
                "collate_fn=lambda starts: SimpleNamespace(**collate(starts))",
            ),
        ),
    ),
    Edit(
        "TD004",
        "transformer",
        (
            ("class Attention(nn.Module):", TRANSFORMER_SENTENCES),
            ("shuffle=True, drop_last=True", "shuffle=True, collate_fn=Sentences"),
        ),
        factory="setup_step",
    ),
)

FAULTS = (
    *FORWARD_REJECTS_BATCH_KEY,
    *BATCH_KEY_IGNORED,
    *BATCH_RANK_MISMATCH,
    *BATCH_NOT_A_MAPPING,
)

TRANSFORMER_DATACLASS = """@dataclass
class Sentences:
    input_ids: torch.Tensor
    labels: torch.Tensor


def collate(samples):
    return Sentences(
        torch.stack([sample["input_ids"] for sample in samples]),
        torch.stack([sample["labels"] for sample in samples]),
    )


class Attention(nn.Module):"""

NEAR_MISSES = (
    Edit(  # a forward with **kwargs that uses them
        "TD001",
        "transformer",
        (
            (
                TRANSFORMER_FORWARD + "  # both (batch, time)",
                'def forward(self, input_ids, **kwargs):\n        labels = kwargs["labels"]',
            ),
        ),
    ),
    Edit(  # an all-ones attention mask
        "TD002",
        "transformer",
        (
            (TRANSFORMER_FORWARD, "def forward(self, input_ids, labels=None, **kwargs):"),
            (
                TRANSFORMER_BATCH,
                transformer_batch(more=', "attention_mask": torch.ones_like(ids[1:])'),
            ),
        ),
    ),
    Edit(  # inputs that are flattened on purpose
        "TD003",
        "mlp",
        (
            ("return features, arms", "return features[:, None], arms"),
            (MLP_STEM, "x = F.relu(self.stem(x.flatten(1)))"),
        ),
    ),
    Edit(  # a dataclass
        "TD004",
        "transformer",
        (
            ("import torch\nimport", "from dataclasses import dataclass\n\nimport torch\nimport"),
            ("class Attention(nn.Module):", TRANSFORMER_DATACLASS),
            (
                TRANSFORMER_LOADER,
                TRANSFORMER_LOADER.replace("drop_last=True", "collate_fn=collate"),
            ),
        ),
    ),
)
