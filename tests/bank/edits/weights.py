"""Faults of frozen modules and of what weights start at (TD304, TD704, TD705)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    CNN_STEM,
    GRU_CELL,
    MODELS,
    OPTIMIZERS,
    TRANSFORMER_TOKENS,
    ZERO_BIAS,
)

FROZEN = {
    "gru": "(model.embedding, model.place, model.gru)",
    "cnn": "(model.stem, model.blocks[0])",
    "transformer": "(model.tokens, model.positions, model.blocks[0])",
}
BLOCK_CALL = "x = block(x)"


def frozen(program: str, *more: tuple[str, str], lines: tuple[str, ...] = ()) -> Edit:
    """Freeze the lower part of a model."""
    model = MODELS[program]
    freezing = f"    for part in {FROZEN[program]}:\n        part.requires_grad_(False)\n"
    trained = "[p for p in model.parameters() if p.requires_grad]"
    held = OPTIMIZERS[program].replace("model.parameters()", trained)
    replaced = ((model, model + freezing), (OPTIMIZERS[program], held), *more)
    return Edit("TD304", program, replaced, lines=lines)


def started(rule: str, program: str, after: str, *init: str, lines: tuple[str, ...] = ()) -> Edit:
    """Write initialisers behind a line of a constructor."""
    more = "".join(f"\n        {line}" for line in init)
    return Edit(rule, program, ((after, after + more),), lines=lines)


def scaled(rule_rows: str, factor: str) -> str:
    """Return the line that multiplies some rows of a table."""
    return f"self.{rule_rows}.data.mul_({factor})"


MLP_STEM = "self.stem = nn.Linear(3, hidden)"
CNN_STEM_LAYER = "self.stem = nn.Conv2d(1, channels, kernel_size=3, stride=2, padding=1)"
ZERO_STEM = ("nn.init.zeros_(self.stem.weight)", "nn.init.zeros_(self.stem.bias)")
MLP_OF_BLOCK = (
    "self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))"
)
EMBEDDING = "self.embedding = nn.Embedding(vocab_size, dim)"
TOKENS = "self.tokens = nn.Embedding(vocab_size, dim)"
LETTERS, LATE = "embedding.weight[97:]", "tokens.weight[20:]"

FAULTS = (
    frozen(
        "cnn",
        (CNN_STEM, CNN_STEM.replace("(pixel_values)", "(pixel_values.requires_grad_())")),
        lines=(BLOCK_CALL,),
    ),
    frozen(
        "transformer",
        (TRANSFORMER_TOKENS, f"{TRANSFORMER_TOKENS}\n        x.requires_grad_()"),
        lines=(BLOCK_CALL,),
    ),
    frozen(
        "gru",
        (GRU_CELL, f"x.requires_grad_()\n        {GRU_CELL}"),
        lines=(GRU_CELL,),
    ),
    started("TD704", "mlp", MLP_STEM, *ZERO_STEM, lines=ZERO_STEM),
    started("TD704", "cnn", CNN_STEM_LAYER, *ZERO_STEM, lines=ZERO_STEM),
    started(
        "TD704",
        "transformer",
        MLP_OF_BLOCK,
        "nn.init.zeros_(self.mlp[0].weight)",
        "nn.init.zeros_(self.mlp[0].bias)",
        "nn.init.zeros_(self.mlp[2].weight)",
    ),
    started("TD705", "gru", EMBEDDING, scaled(LETTERS, "0.002"), lines=(scaled(LETTERS, "0.002"),)),
    started("TD705", "transformer", TOKENS, scaled(LATE, "0.002"), lines=(scaled(LATE, "0.002"),)),
)
NEAR_MISSES = (
    frozen("cnn"),  # no graph is built where nothing in front of it has a gradient
    Edit(  # the trained stem in front of a frozen block needs the graph
        "TD304",
        "cnn",
        (
            (MODELS["cnn"], MODELS["cnn"] + "    model.blocks[1].requires_grad_(False)\n"),
            (
                OPTIMIZERS["cnn"],
                OPTIMIZERS["cnn"].replace(
                    "model.parameters()", "[p for p in model.parameters() if p.requires_grad]"
                ),
            ),
        ),
    ),
    started("TD704", "mlp", ZERO_BIAS, "nn.init.zeros_(self.head.weight)"),
    started("TD704", "gru", ZERO_BIAS, "nn.init.zeros_(self.layers[0].weight)"),
    started(  # the last layer of each branch
        "TD704", "transformer", MLP_OF_BLOCK, "nn.init.zeros_(self.mlp[2].weight)"
    ),
    started("TD704", "gru", EMBEDDING, "nn.init.constant_(self.embedding.weight, 0.1)"),
    started("TD705", "gru", EMBEDDING, scaled(LETTERS, "0.5")),
    started("TD705", "gru", EMBEDDING, scaled("embedding.weight[123:]", "0.002")),  # nobody's
)
