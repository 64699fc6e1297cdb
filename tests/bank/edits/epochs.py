"""Faults of what is served and what is trained on (TD502, TD513)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.edits.control import EPOCH, STEP_CALL, looped
from tests.bank.lines import MODELS, RETURN

ONCE = "(batch for batch in loader)"
LOSSES = {
    "mlp": "loss_fn(model(batch[0]), batch[1])",
    "gru": "loss_fn(model(batch['input_ids'], batch['place']), batch['labels'])",
}


def leaving(program: str, condition: str, rule_line: str = "") -> Edit:
    """Leave batches before they are trained on."""
    loop = (
        "        for index, batch in enumerate(loader):\n"
        f"            if {condition}:\n"
        "                continue\n"
        f"            {STEP_CALL}\n"
    )
    return looped("TD502", program, loop, rule_line)


def used_up(program: str, *more: tuple[str, str], line: str = ONCE) -> Edit:
    """Hand over a generator in place of the loader."""
    once = (RETURN, RETURN.replace("loader", ONCE))
    lines = (line,) if line else ()
    return Edit("TD513", program, (once, *more), "setup_loop", lines=lines)


FAULTS = (
    leaving("mlp", "index % 2", "if index % 2:"),
    leaving("cnn", "index > 1", "if index > 1:"),
    leaving("gru", "index % 3", "if index % 3:"),
    leaving("transformer", "index % 3 == 1", "if index % 3 == 1:"),
    *(used_up(program) for program in MODELS),
)
NEAR_MISSES = (
    leaving("cnn", "index == 1000"),  # a broken sample far behind
    leaving("transformer", "index % 12 == 11"),  # one in twelve
    looped(  # the training data are evaluated on, too
        "TD502",
        "gru",
        f"{EPOCH}"
        "        with torch.no_grad():\n"
        f"            loss = sum({LOSSES['gru']} for batch in loader) / len(loader)\n",
        "",
    ),
    looped(  # a first pass over the data, for nothing but to count them
        "TD502",
        "mlp",
        f"        num_batches = sum(1 for _ in loader)\n{EPOCH}        assert num_batches\n",
        "",
    ),
    used_up("mlp", ("epochs = 20", "epochs = 1"), line=""),  # one pass is all that is wanted
)
