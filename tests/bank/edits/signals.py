"""Faults of what layers are made of and what they hand on (TD207, TD214, TD706, TD710 to TD714)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    BLOCK,
    CNN_LOGITS,
    CNN_STEM,
    FEATURES,
    GRU_CELL,
    GRU_LAYER,
    GRU_LAYERS,
    LISTS,
    LOGITS,
    MLP_LAYER,
    MLP_STEM,
    STATE,
    TRANSFORMER_LOGITS,
    ZERO_BIAS,
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
CNN_STEM_LAYER = "self.stem = nn.Conv2d(1, channels, kernel_size=3, stride=2, padding=1)"
GRU_PLACE_LAYER = "self.place = nn.Linear(1, dim)"
MLP_STEM_LAYER = "self.stem = nn.Linear(3, hidden)"


def biased(program: str, layer: str, value: str, line: str) -> Edit:
    """Start a layer with biases at which its activation is flat."""
    name = layer.partition(" =")[0]
    more = f"{layer}\n        nn.init.constant_({name}.bias, {value})"
    return changed("TD214", program, layer, more, line)


def deepened(program: str, layers: str, layer: str, new: str, init: str = "") -> Edit:
    """Stack ten layers without anything that keeps the signal's size."""
    drawn = (
        f"{ZERO_BIAS}\n        for layer in self.layers:\n            {init}" if init else ZERO_BIAS
    )
    replaced = ((layers, layers.replace("2", "10")), (layer, new), (ZERO_BIAS, drawn))
    return Edit("TD706", program, replaced, lines=(init,) if init else ())


DEAD = (
    biased("mlp", MLP_STEM_LAYER, "-1.5", MLP_STEM),
    biased("cnn", CNN_STEM_LAYER, "-1.0", CNN_STEM),
    biased("gru", GRU_PLACE_LAYER, "6.0", "start = torch.tanh(self.place(place))"),
)
WIDE_DRAW = "nn.init.normal_(layer.weight, std=0.5)"
PLAIN = "x = F.relu(layer(x))"
WIDE_FILTERS = "nn.init.normal_(self.conv.weight, std=0.5)"
UNSTABLE = (
    deepened("mlp", GRU_LAYERS, MLP_LAYER, PLAIN, WIDE_DRAW),
    deepened("gru", GRU_LAYERS, GRU_LAYER, PLAIN, WIDE_DRAW),
    Edit(
        "TD706",
        "cnn",
        (
            ("num_blocks = 2", "num_blocks = 10"),
            (BLOCK, "return F.relu(self.conv(x))"),
            (
                "self.norm = nn.BatchNorm2d(channels)",
                WIDE_FILTERS,
            ),
        ),
        lines=(WIDE_FILTERS,),
    ),
)
MLP_OF_BLOCK = "nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))"
AFFINE = (
    Edit(
        "TD713",
        "mlp",
        ((MLP_STEM, "x = self.stem(x)"), (MLP_LAYER, "x = x + self.dropout(layer(x))")),
        lines=("x = x + self.dropout(layer(x))", "return self.head(x)"),
    ),
    Edit(
        "TD713",
        "cnn",
        ((CNN_STEM, "x = self.stem(pixel_values)"), (BLOCK, BLOCK.replace("F.relu", ""))),
        lines=("return (x + self.norm(self.conv(x)))", CNN_LOGITS),
    ),
    changed(
        "TD713",
        "transformer",
        MLP_OF_BLOCK,
        MLP_OF_BLOCK.replace("nn.GELU(), ", ""),
    ),
)


def merged(program: str, old: str, value: str) -> Edit:
    """Normalise each value by itself, so that all samples become one."""
    name = old.partition(" = ")[0]
    line = f"{name} = F.layer_norm({value}[..., None], (1,)).squeeze(-1)"
    return changed("TD712", program, old, f"{old}\n        {line}", line)


COLLAPSED = (
    merged("mlp", MLP_STEM, "x"),
    merged("cnn", FEATURES, "features"),
    merged("gru", STATE, "x"),
)
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

FAULTS = (*ON_LOGITS, *SHARED, *DEAD, *UNSTABLE, *AFFINE, *COLLAPSED, *MIXED)
NEAR_MISSES = (
    changed("TD712", "mlp", ZERO_BIAS, f"{ZERO_BIAS}\n        nn.init.zeros_(self.head.weight)"),
    changed(  # of low rank
        "TD713",
        "mlp",
        "self.head = nn.Linear(hidden, num_classes)",
        "self.head = nn.Sequential(nn.Linear(hidden, 2), nn.Linear(2, num_classes))\n"
        "        self.head.bias = self.head[1].bias",
    ),
    biased("mlp", MLP_STEM_LAYER, "-0.3", MLP_STEM),
    biased("gru", GRU_PLACE_LAYER, "1.0", "start = torch.tanh(self.place(place))"),
    deepened("gru", GRU_LAYERS, GRU_LAYER, GRU_LAYER),
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
