"""Faults of the optimizer (TD4)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    LOOP,
    MODELS,
    OPTIMIZERS,
    RATES,
    RETURN,
    STEP,
)


def optimizing(rule: str, program: str, parameters: str) -> Edit:
    """Give the optimizer other parameters."""
    new = OPTIMIZERS[program].replace("model.parameters()", parameters)
    return Edit(rule, program, ((OPTIMIZERS[program], new),), lines=(f"optimizer = {new}",))


def rebuilding(program: str, line: str) -> Edit:
    """Change the model once the optimizer is made."""
    lines = (f"optimizer = {OPTIMIZERS[program]}", line)
    return Edit("TD402", program, ((RETURN, f"    {line}\n{RETURN}"),), lines=lines)


def stepping(program: str, guard: str) -> Edit:
    """Take the step under a guard although each batch clears the gradients."""
    loop = (
        "for index, batch in enumerate(loader):\n"
        "            loss = train_step(model, batch, optimizer)\n"
        f"            {guard}\n"
        "                optimizer.step()\n"
    )
    replace = ((STEP, ""), (LOOP, loop))
    return Edit("TD404", program, replace, "setup_loop", lines=(guard, "optimizer.step()"))


def rate(rule: str, program: str, value: str) -> Edit:
    """Set another learning rate."""
    return Edit(rule, program, ((RATES[program], f"learning_rate = {value}"),))


PARAMETERS_NOT_IN_OPTIMIZER = (
    optimizing("TD401", "mlp", "model.head.parameters()"),
    optimizing("TD401", "cnn", "model.blocks.parameters()"),
    optimizing("TD401", "gru", "model.gru.parameters()"),
    optimizing("TD401", "transformer", "[p for p in model.parameters() if p.dim() > 1]"),
)

OPTIMIZER_HOLDS_STRANGERS = (
    rebuilding("mlp", "model = MLP().train()"),
    rebuilding("cnn", "model = __import__('copy').deepcopy(model)"),
    rebuilding("gru", "model.head = nn.Linear(dim, vocab_size)"),
    rebuilding("transformer", "model.blocks = nn.ModuleList([Block() for _ in range(num_layers)])"),
)

OPTIMIZER_NEVER_STEPS = tuple(
    Edit("TD403", program, ((STEP, ""),), factory="setup_loop") for program in MODELS
)

FEWER_STEPS = (
    stepping("mlp", "if index % 4 == 0:"),
    stepping("cnn", "if index % 2 == 1:"),
    stepping("gru", "if index % 3 == 0:"),
    stepping("transformer", "if (index + 1) % 4 == 0:"),
)

STEP_CHANGES_NOTHING = (
    rate("TD405", "mlp", "0.0"),
    rate("TD405", "cnn", "1 // 20"),
    Edit(  # goes back to a checkpoint after each step
        "TD405",
        "gru",
        (
            (
                MODELS["gru"],
                MODELS["gru"] + "    checkpoint.update(copy.deepcopy(model.state_dict()))\n",
            ),
            ("import torch\nimport", "import copy\n\nimport torch\nimport"),
            ("max_grad_norm = 1.0", "max_grad_norm = 1.0\ncheckpoint = {}"),
            (STEP, STEP + "    model.load_state_dict(checkpoint)\n"),
        ),
        factory="setup_step",
    ),
    Edit("TD405", "transformer", (("lr=learning_rate", "lr=round(learning_rate, 2)"),)),
)

LEARNING_RATE_TOO_HIGH = (
    rate("TD408", "mlp", "1.0"),
    rate("TD408", "cnn", "20.0"),
    rate("TD408", "gru", "0.5"),
    rate("TD408", "transformer", "0.3"),
)

LEARNING_RATE_TOO_LOW = (
    rate("TD409", "mlp", "1e-7"),
    rate("TD409", "cnn", "1e-5"),
    rate("TD409", "gru", "1e-6"),
    rate("TD409", "transformer", "1e-6"),
)

DUPLICATE_PARAMETERS = (
    optimizing("TD410", "mlp", "[*model.parameters(), *model.head.parameters()]"),
    optimizing("TD410", "cnn", "list(model.parameters()) + list(model.stem.parameters())"),
    Edit(
        "TD410",
        "gru",
        (
            (
                '"optimizer": optimizer,\n        "loss_fn"',
                '"optimizer": [optimizer, torch.optim.Adam(model.gru.parameters(), lr=1e-3)],\n'
                '        "loss_fn"',
            ),
        ),
    ),
    Edit(
        "TD410",
        "transformer",
        (
            (
                '"optimizer": optimizer,\n        "max_grad_norm"',
                '"optimizer": [optimizer, torch.optim.SGD(model.tokens.parameters(), lr=0.01)],\n'
                '        "max_grad_norm"',
            ),
        ),
    ),
)

WEIGHTS_NOT_FINITE = (
    Edit("TD418", "mlp", ((OPTIMIZERS["mlp"], OPTIMIZERS["mlp"][:-1] + ", eps=0.0)"),)),
    Edit("TD418", "gru", ((OPTIMIZERS["gru"], OPTIMIZERS["gru"][:-1] + ", eps=0.0)"),)),
    Edit(
        "TD418",
        "transformer",
        ((OPTIMIZERS["transformer"], OPTIMIZERS["transformer"][:-1] + ", eps=0.0)"),),
    ),
)

FAULTS = (
    *PARAMETERS_NOT_IN_OPTIMIZER,
    *OPTIMIZER_HOLDS_STRANGERS,
    *OPTIMIZER_NEVER_STEPS,
    *FEWER_STEPS,
    *STEP_CHANGES_NOTHING,
    *LEARNING_RATE_TOO_HIGH,
    *LEARNING_RATE_TOO_LOW,
    *DUPLICATE_PARAMETERS,
    *WEIGHTS_NOT_FINITE,
)

NEAR_MISSES = (
    optimizing(  # two groups that hold everything between them
        "TD401",
        "transformer",
        "[{'params': [p for p in model.parameters() if p.dim() > 1]},"
        " {'params': [p for p in model.parameters() if p.dim() < 2], 'weight_decay': 0.0}]",
    ),
    Edit(  # weights updated by hand
        "TD403",
        "mlp",
        (
            (
                STEP,
                "    with torch.no_grad():\n"
                "        for parameter in model.parameters():\n"
                "            parameter -= 0.1 * parameter.grad\n",
            ),
        ),
        factory="setup_loop",
    ),
    Edit(  # a warm-up whose first step has rate 0
        "TD405",
        "transformer",
        (
            (
                '"optimizer": optimizer,\n        "max_grad_norm"',
                '"optimizer": optimizer,\n'
                '        "scheduler": torch.optim.lr_scheduler.LambdaLR(\n'
                "            optimizer, lambda step: min(1.0, step / 4)\n"
                "        ),\n"
                '        "max_grad_norm"',
            ),
        ),
    ),
    Edit(  # two optimizers, each with its own parameters
        "TD410",
        "gru",
        (
            ("Adam(model.parameters(), lr", "Adam(model.gru.parameters(), lr"),
            (
                '"optimizer": optimizer,\n        "loss_fn"',
                '"optimizer": [\n'
                "            optimizer,\n"
                "            torch.optim.Adam(\n"
                "                [p for p in model.parameters() if p.size(0) != 3 * dim], lr=5e-3\n"
                "            ),\n"
                "        ],\n"
                '        "loss_fn"',
            ),
        ),
    ),
)
