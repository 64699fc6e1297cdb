"""Faults of the gradients (TD2)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    BACKWARD,
    BLOCK,
    BLOCKS,
    CNN_LOGITS,
    FEATURES,
    GRU_CELL,
    GRU_LAYER,
    GRU_LAYERS,
    LOGITS,
    MLP_LAYER,
    MLP_LAYERS,
    MLP_LOSS,
    MODELS,
    STATE,
    STEP,
    TRANSFORMER_ATTENTION,
    TRANSFORMER_LOSS,
    TRANSFORMER_MLP,
    TRANSFORMER_TOKENS,
    ZERO_BIAS,
    ZERO_GRAD,
)

NO_GRADIENT = (
    Edit("TD201", "mlp", ((MLP_LAYERS, "for layer in self.layers[1:]:"),)),
    Edit("TD201", "cnn", (("for block in self.blocks:", "for block in self.blocks[:1]:"),)),
    Edit("TD201", "gru", (("torch.tanh(self.place(place))", "torch.tanh(place.expand(-1, dim))"),)),
    Edit("TD201", "transformer", ((TRANSFORMER_TOKENS, "x = self.tokens(input_ids)"),)),
)

ZERO_GRADIENT = (  # 1 // 2 is 0
    Edit("TD202", "mlp", ((MLP_LAYER, MLP_LAYER.replace("self.", "1 // num_layers * self.", 1)),)),
    Edit("TD202", "cnn", ((BLOCK, BLOCK.replace("self.", "1 // num_blocks * self.", 1)),)),
    Edit("TD202", "gru", ((GRU_LAYER, GRU_LAYER.replace("self.", "1 // num_layers * self.", 1)),)),
    Edit(
        "TD202",
        "transformer",
        ((TRANSFORMER_MLP, TRANSFORMER_MLP.replace("self.", "1 // num_layers * self.", 1)),),
    ),
)

GRADIENT_NOT_FINITE = (
    Edit(
        "TD203",
        "mlp",
        ((MLP_LOSS, MLP_LOSS + " + 0.01 * (outputs - outputs[0]).pow(2).sum(1).sqrt().mean()"),),
        lines=(".sqrt()",),
    ),
    Edit(
        "TD203",
        "cnn",
        (
            (
                CNN_LOGITS,
                "gaps = (features[:, :, None] - features[:, None]).pow(2).sqrt()\n"
                "        return self.head(features / gaps.mean((1, 2))[:, None])",
            ),
        ),
        lines=("gaps = ",),
    ),
    Edit(
        "TD203",
        "gru",
        ((STATE, "x = torch.where(state[-1] > 0, state[-1].sqrt(), state[-1])"),),
        lines=(".sqrt()",),
    ),
    Edit(
        "TD203",
        "transformer",
        ((TRANSFORMER_LOSS, TRANSFORMER_LOSS + " + 0.1 * self.head.bias.pow(2).sum().sqrt()"),),
        lines=(".sqrt()",),
    ),
)

VANISHING_GRADIENT = (
    Edit(
        "TD204",
        "mlp",
        (("num_layers = 2", "num_layers = 16"), (MLP_LAYER, "x = torch.sigmoid(layer(x))")),
    ),
    Edit(
        "TD204",
        "cnn",
        (
            ("num_blocks = 2", "num_blocks = 12"),
            ("        self.norm = nn.BatchNorm2d(channels)\n", ""),
            (BLOCK, "return torch.sigmoid(self.conv(x))"),
        ),
    ),
    Edit(
        "TD204",
        "gru",
        ((GRU_LAYERS, "num_layers = 16"), (GRU_LAYER, "x = torch.sigmoid(layer(x))")),
    ),
    Edit(
        "TD204",
        "transformer",
        (
            ("num_layers = 2", "num_layers = 8"),
            ("        self.norm1 = nn.LayerNorm(dim)\n", ""),
            ("        self.norm2 = nn.LayerNorm(dim)\n", ""),
            (TRANSFORMER_ATTENTION, "x = torch.sigmoid(self.attention(x))"),
            (TRANSFORMER_MLP, "return torch.sigmoid(self.mlp(x))"),
        ),
    ),
)

DETACHED_IN_FORWARD = (
    Edit(
        "TD206",
        "mlp",
        ((LOGITS, "return self.head(x.detach())"),),
        lines=("x.detach()",),
    ),
    Edit(
        "TD206",
        "cnn",
        ((FEATURES, "features = torch.from_numpy(x.detach().numpy().mean(axis=(2, 3)))"),),
        lines=("x.detach()",),
    ),
    Edit(
        "TD206",
        "gru",
        ((GRU_CELL, f"with torch.no_grad():\n            {GRU_CELL}"),),
        lines=("with torch.no_grad():", GRU_CELL),
    ),
    Edit(
        "TD206",
        "transformer",
        ((TRANSFORMER_ATTENTION, TRANSFORMER_ATTENTION.replace("norm1(x)", "norm1(x).data")),),
        lines=("norm1(x).data",),
    ),
)

STALE_GRADIENTS = (
    Edit("TD208", "mlp", ((ZERO_GRAD, ""),), factory="setup_step"),
    Edit("TD208", "cnn", ((ZERO_GRAD, ""),), factory="setup_loop"),
    Edit("TD208", "gru", ((ZERO_GRAD, ""),), factory="setup_loop"),
    Edit("TD208", "transformer", ((ZERO_GRAD, ""),), factory="setup_step"),
)

GRADIENTS_CLEARED = tuple(
    Edit(
        "TD209",
        program,
        ((ZERO_GRAD, ""), (BACKWARD, f"{BACKWARD}    {clear}\n")),
        factory=factory,
        lines=(clear, "optimizer.step()"),
    )
    for program, factory, clear in (
        ("mlp", "setup_step", "optimizer.zero_grad()"),
        ("cnn", "setup_step", "model.zero_grad()"),
        ("gru", "setup_loop", "optimizer.zero_grad()"),
        ("transformer", "setup_loop", "optimizer.zero_grad(set_to_none=False)"),
    )
)

NOTHING_TRAINABLE = tuple(
    Edit("TD212", program, ((model, f"{model}    model.requires_grad_(False)\n"),))
    for program, model in MODELS.items()
)

FAULTS = (
    *NO_GRADIENT,
    *ZERO_GRADIENT,
    *GRADIENT_NOT_FINITE,
    *VANISHING_GRADIENT,
    *DETACHED_IN_FORWARD,
    *STALE_GRADIENTS,
    *GRADIENTS_CLEARED,
    *NOTHING_TRAINABLE,
)

ACCUMULATE = """for index, batch in enumerate(loader):
            loss = train_step(model, batch, optimizer)
            if (index + 1) % 4 == 0:
                nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)
                optimizer.step()
                optimizer.zero_grad()
"""

NEAR_MISSES = (
    Edit(  # a second head that this loss does not use
        "TD201",
        "mlp",
        (
            (
                ZERO_BIAS,
                f"{ZERO_BIAS}\n        self.radius = nn.Linear(hidden, 1)",
            ),
            (LOGITS, "return self.head(x), self.radius(x)"),
            (MLP_LOSS, MLP_LOSS.replace("outputs", "outputs[0]")),
        ),
    ),
    Edit(  # layers left out at random
        "TD201",
        "transformer",
        ((BLOCKS, BLOCKS.replace("block(x)", "block(x) if torch.rand(()) < 0.8 else x")),),
    ),
    Edit(  # a residual branch whose gain starts at 0
        "TD202",
        "transformer",
        (
            (
                "        self.dropout = nn.Dropout(0.05)\n",
                "        self.dropout = nn.Dropout(0.05)\n"
                "        self.gain = nn.Parameter(torch.zeros(()))\n",
            ),
            (TRANSFORMER_MLP, TRANSFORMER_MLP.replace("self.", "self.gain * self.", 1)),
        ),
    ),
    Edit(  # the square root of something that is never 0
        "TD203",
        "mlp",
        (
            (
                MLP_LOSS,
                MLP_LOSS
                + " + 0.001 * (outputs - outputs[0]).pow(2).sum(1).add(1e-6).sqrt().mean()",
            ),
        ),
    ),
    Edit("TD204", "transformer", (("num_layers = 2", "num_layers = 6"),)),  # depth with residuals
    Edit(  # straight-through
        "TD206",
        "mlp",
        ((LOGITS, "return self.head(x + ((8 * x).round() / 8 - x).detach())"),),
    ),
    Edit(  # accumulation that is declared
        "TD208",
        "mlp",
        (
            (
                '"max_grad_norm": max_grad_norm,\n',
                '"max_grad_norm": max_grad_norm,\n        "accumulation_steps": 4,\n',
            ),
        ),
    ),
    Edit(  # accumulation by hand
        "TD208",
        "gru",
        (
            (ZERO_GRAD, ""),
            ("    nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)\n", ""),
            (STEP, ""),
            (BACKWARD, "    (loss / 4).backward()\n"),
            (
                "for batch in loader:\n            loss = train_step(model, batch, optimizer)\n",
                ACCUMULATE,
            ),
            (
                '"train_loop": train_loop,\n',
                '"train_loop": train_loop,\n        "accumulation_steps": 4,\n',
            ),
        ),
        factory="setup_loop",
    ),
    Edit(  # a frozen first layer
        "TD212",
        "cnn",
        ((MODELS["cnn"], MODELS["cnn"] + "    model.stem.requires_grad_(False)\n"),),
    ),
)
