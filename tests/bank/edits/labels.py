"""Faults of the labels, of the loss's arguments and of empty data (TD009 to TD014)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    CNN_LABEL,
    CNN_LOSS,
    GRU_LABELS,
    GRU_LOSS,
    MLP_LOADER,
    MLP_LOSS,
    TRANSFORMER_BATCH,
    TRANSFORMER_LOSS,
    transformer_batch,
)

ALL_LABELS_IGNORED = (
    Edit("TD009", "mlp", (("return features, arms", "return features, arms * 0 - 100"),)),
    Edit("TD009", "cnn", ((CNN_LABEL, "label = torch.tensor(-100)"),)),
    Edit("TD009", "gru", ((GRU_LABELS, "torch.full((len(starts),), -100)"),)),
    Edit(
        "TD009",
        "transformer",
        (
            (
                TRANSFORMER_BATCH,
                transformer_batch("ids[1:].masked_fill(ids[1:] < vocab_size, -100)"),
            ),
        ),
    ),
)

NO_LOSS = (
    Edit("TD011", "mlp", (('        "loss_fn": loss_fn,\n', ""),)),
    Edit("TD011", "cnn", (('        "loss_fn": loss_fn,\n', ""),)),
    Edit("TD011", "gru", (('        "loss_fn": loss_fn,\n', ""),)),
    Edit(
        "TD011",
        "transformer",
        ((f"loss = {TRANSFORMER_LOSS}", 'raise NotImplementedError("for generation only")'),),
        lines=("raise NotImplementedError",),
    ),
)

SHAPES_BROADCAST = (
    Edit(
        "TD012",
        "mlp",
        (
            ("nn.Linear(hidden, num_classes)", "nn.Linear(hidden, 1)"),
            (MLP_LOSS, "F.mse_loss(outputs, targets.float())"),
        ),
        lines=("F.mse_loss(",),
    ),
    Edit(
        "TD012",
        "cnn",
        (
            ("nn.Linear(channels, num_classes)", "nn.Linear(channels, 1)"),
            (CNN_LOSS, 'F.smooth_l1_loss(outputs, batch["labels"].float())'),
        ),
        lines=("F.smooth_l1_loss(",),
    ),
    Edit(
        "TD012",
        "gru",
        (
            ("nn.Linear(dim, vocab_size)", "nn.Linear(dim, 1)"),
            (GRU_LOSS, "F.mse_loss(outputs, labels / vocab_size)"),
        ),
        lines=("F.mse_loss(",),
    ),
    Edit(
        "TD012",
        "transformer",
        (
            ("nn.Linear(dim, vocab_size)", "nn.Linear(dim, 1)"),
            (TRANSFORMER_LOSS, "F.mse_loss(logits, labels / vocab_size)"),
        ),
        lines=("F.mse_loss(",),
    ),
)

EMPTY_DATA = tuple(
    Edit("TD013", program, (("batch_size = 32", "batch_size = 512"),))
    for program in ("mlp", "cnn", "gru", "transformer")
)

MLP_COLLATE = """def collate(samples):
    features = torch.stack([features for features, _ in samples])
    arms = torch.stack([arm for features, arm in samples if features[0] > -1])
    return features, arms


class MLP(nn.Module):"""
TRANSFORMER_COLLATE = """def collate(samples):
    space = letters.index(" ")
    labels = [sample["labels"] for sample in samples if sample["labels"][-1] != space]
    inputs = [sample["input_ids"] for sample in samples]
    return {"input_ids": torch.stack(inputs), "labels": torch.stack(labels)}


class Attention(nn.Module):"""

BATCH_SIZES_DIFFER = (
    Edit(
        "TD014",
        "mlp",
        (
            ("class MLP(nn.Module):", MLP_COLLATE),
            (MLP_LOADER, MLP_LOADER.replace("drop_last=True", "collate_fn=collate")),
        ),
    ),
    Edit(
        "TD014",
        "cnn",
        (("features = x.mean(dim=(2, 3))", "features = x.mean(dim=(0, 2, 3))[None]"),),
    ),
    Edit(
        "TD014",
        "gru",
        ((GRU_LABELS, GRU_LABELS.replace("in starts", 'in starts if text[i + window] != " "')),),
    ),
    Edit(
        "TD014",
        "transformer",
        (
            ("class Attention(nn.Module):", TRANSFORMER_COLLATE),
            ("shuffle=True, drop_last=True", "shuffle=True, collate_fn=collate"),
        ),
    ),
)

FAULTS = (
    *ALL_LABELS_IGNORED,
    *NO_LOSS,
    *SHAPES_BROADCAST,
    *EMPTY_DATA,
    *BATCH_SIZES_DIFFER,
)

NEAR_MISSES = (
    Edit(  # some labels ignored
        "TD009",
        "transformer",
        ((TRANSFORMER_BATCH, transformer_batch("ids[1:].masked_fill(ids[1:] == 0, -100)")),),
    ),
    Edit(  # a regression whose shapes agree
        "TD012",
        "mlp",
        (
            ("nn.Linear(hidden, num_classes)", "nn.Linear(hidden, 1)"),
            (MLP_LOSS, "F.mse_loss(outputs.squeeze(1), targets.float())"),
        ),
    ),
)
