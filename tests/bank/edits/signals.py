"""Faults of what layers are made of and what they hand on (TD207, TD214, TD706, TD710 to TD714)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    CNN_LOGITS,
    FEATURES,
    GRU_CELL,
    LISTS,
    LOGITS,
    MLP_STEM,
    STATE,
    TRANSFORMER_LOGITS,
)


def changed(rule: str, program: str, old: str, new: str, *lines: str) -> Edit:
    """Replace one line, or a part of it; a finding may point there unless `lines` are given."""
    return Edit(rule, program, ((old, new),), lines=lines or (new.splitlines()[0],))


def multiplied(program: str) -> Edit:
    """Put one module several times into a program's list of layers."""
    listed = LISTS[program]
    layer, _, length = listed.removeprefix("nn.ModuleList([").partition(" for _ in range(")
    return changed("TD710", program, listed, f"nn.ModuleList([{layer}] * {length[:-3]})")


ON_LOGITS = (
    changed("TD714", "mlp", LOGITS, "return F.relu(self.head(x))"),
    changed("TD714", "cnn", CNN_LOGITS, "return F.gelu(self.head(features))"),
    changed("TD714", "gru", LOGITS, "return self.head(x).clamp(min=0)"),
    changed("TD714", "transformer", TRANSFORMER_LOGITS, "logits = self.head(self.norm(x)).relu()"),
)
SHARED = tuple(multiplied(program) for program in ("mlp", "cnn", "gru", "transformer"))
MIXED = (
    changed("TD207", "mlp", MLP_STEM, "x = F.normalize(F.relu(self.stem(x)), dim=0)"),
    changed("TD207", "cnn", FEATURES, "features = x.view(channels, len(x), -1).mean(-1).T"),
    changed("TD207", "gru", STATE, "x = state[-1] - state[-1].mean(0)"),
    changed(
        "TD207",
        "transformer",
        "(weights @ v).transpose(1, 2).reshape(batch, time, dim)",
        "(weights @ v).reshape(time, batch, dim).transpose(0, 1)",
    ),
)

FAULTS = (*ON_LOGITS, *SHARED, *MIXED)
NEAR_MISSES = (
    changed("TD207", "mlp", MLP_STEM, "x = F.normalize(F.relu(self.stem(x)), dim=1)"),
    Edit(  # time comes first, in the data as in the layer
        "TD207",
        "gru",
        (
            ("nn.GRU(dim, dim, batch_first=True)", "nn.GRU(dim, dim)"),
            (GRU_CELL, GRU_CELL.replace("(x,", "(x.transpose(0, 1),")),
        ),
    ),
    changed("TD714", "mlp", LOGITS, "return self.head(F.relu(x))"),
    changed("TD714", "transformer", TRANSFORMER_LOGITS, "logits = self.head(self.norm(x).relu())"),
    changed(
        "TD710",
        "mlp",
        LISTS["mlp"],
        "[nn.Linear(hidden, hidden)] * num_layers\n        self.layer = self.layers[0]",
    ),
    changed(
        "TD710",
        "gru",
        LISTS["gru"],
        "nn.ModuleList([nn.Linear(dim, dim)] * num_layers)\n        self.layer = self.layers[0]",
    ),
)
