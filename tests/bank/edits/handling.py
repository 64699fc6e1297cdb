"""Faults between the gradients and the weights: clipping, scalers, schedules, order (TD2, TD4)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import BACKWARD, STEP, ZERO_GRAD

CLIP = "    nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)\n"
LIMIT = "max_grad_norm = 1.0"
NORM = "    nn.utils.clip_grad_norm_(model.parameters(), 0.05)\n"
CALL = "loss = train_step(model, batch, optimizer)\n"
LOOP = f"        for batch in loader:\n            {CALL}"
EPOCHS = "    for epoch in range(epochs):\n"
HEAD = "def train_step(model, batch, optimizer):\n"


def scheduled(rule: str, program: str, built: str, *, each_batch: bool) -> Edit:
    """Build a scheduler before the loop and step it in the loop."""
    line = f"scheduler = torch.optim.lr_scheduler.{built}"
    step = "            scheduler.step()\n" if each_batch else "        scheduler.step()\n"
    replace = ((EPOCHS, f"    {line}\n{EPOCHS}"), (LOOP, LOOP + step))
    return Edit(rule, program, replace, "setup_loop", lines=(line,))


def scaled(program: str, step: str, *more: tuple[str, str]) -> Edit:
    """Scale the loss, and take the step in some way."""
    replace = (
        (HEAD, f'scaler = torch.amp.GradScaler("cpu")\n\n\n{HEAD}'),
        (BACKWARD, "    scaler.scale(loss).backward()\n"),
        (STEP, step),
        *more,
    )
    return Edit("TD414", program, replace, "setup_loop", lines=(step.strip().splitlines()[0],))


def accumulated(program: str, condition: str) -> Edit:
    """Step at every third batch, of which an epoch has no whole number."""
    loop = (
        "        for index, batch in enumerate(loader):\n"
        f"            {CALL}"
        f"            if {condition}:\n"
        "                optimizer.step()\n"
        "                optimizer.zero_grad()\n"
    )
    replace = (
        (STEP, ""),
        (ZERO_GRAD, ""),
        (CLIP, ""),
        (BACKWARD, "    (loss / 3).backward()\n"),
        (LOOP, loop),
    )
    return Edit("TD416", program, replace, "setup_loop", lines=("optimizer.step()",))


def averaged(program: str, average: str, line: str) -> Edit:
    """Keep a running average of the weights, which is the model's own or a copy."""
    keep = (
        f"            {line}\n"
        "                for mean, p in zip(average.parameters(), model.parameters()):\n"
        "                    mean.mul_(0.9).add_(p, alpha=0.1)\n"
    )
    replace = (
        ("import torch\nimport", "import copy\n\nimport torch\nimport"),
        (EPOCHS, f"    average = {average}\n{EPOCHS}"),
        (LOOP, LOOP + keep),
    )
    return Edit("TD415", program, replace, "setup_loop", lines=("mean.mul_(0.9)",))


LATE_CLIP = ((CLIP, ""), (STEP, STEP + CLIP), (LIMIT, "max_grad_norm = 0.05"))
EARLY_STEP = ((BACKWARD + CLIP + STEP, STEP + BACKWARD),)
UNCLIPPED_STEP = ((BACKWARD + STEP, STEP + BACKWARD),)  # the convolutional network clips nothing
ROTATED = ((ZERO_GRAD, STEP + ZERO_GRAD), (BACKWARD + CLIP + STEP, BACKWARD))
MASK = "with torch.no_grad():"
PAST = "    optimizer.step()  # past the scaler\n"

FAULTS = (
    Edit("TD210", "mlp", ((LIMIT, "max_grad_norm = 1e-6"),), "setup_step", lines=(CLIP.strip(),)),
    Edit("TD210", "gru", ((LIMIT, "max_grad_norm = 1e-6"),), lines=('"max_grad_norm":',)),
    Edit("TD211", "mlp", LATE_CLIP, "setup_step", lines=(CLIP.strip(),)),
    Edit("TD211", "gru", LATE_CLIP, "setup_loop", lines=(CLIP.strip(),)),
    Edit("TD211", "transformer", LATE_CLIP, "setup_loop", lines=(CLIP.strip(),)),
    Edit("TD211", "cnn", ((STEP, STEP + NORM),), "setup_step", lines=(NORM.strip(),)),
    scheduled("TD406", "mlp", "LinearLR(optimizer, 1.0, 0.0, epochs)", each_batch=True),
    scheduled("TD406", "gru", "CosineAnnealingLR(optimizer, epochs)", each_batch=True),
    scheduled("TD406", "cnn", "CosineAnnealingLR(optimizer, epochs)", each_batch=True),
    scheduled("TD406", "transformer", "StepLR(optimizer, 1, 0.1)", each_batch=True),
    *(
        scheduled(
            "TD407",
            program,
            f"OneCycleLR(optimizer, {highest}, epochs * len(loader))",
            each_batch=False,
        )
        for program, highest in (("mlp", 0.01), ("cnn", 0.1), ("gru", 0.01), ("transformer", 0.01))
    ),
    Edit("TD411", "mlp", EARLY_STEP, "setup_loop", lines=("optimizer.step()",)),
    Edit("TD411", "gru", EARLY_STEP, "setup_step", lines=("optimizer.step()",)),
    Edit("TD411", "cnn", UNCLIPPED_STEP, "setup_loop", lines=("optimizer.step()",)),
    Edit("TD411", "transformer", EARLY_STEP, "setup_step", lines=("optimizer.step()",)),
    scaled("mlp", PAST, (CLIP, "")),
    scaled("gru", PAST, (CLIP, "")),
    scaled("transformer", PAST, (CLIP, "")),
    averaged("mlp", "copy.copy(model)", MASK),
    averaged("gru", "copy.copy(model)", MASK),
    averaged("transformer", "copy.copy(model)", MASK),
    accumulated("mlp", "(index + 1) % 3 == 0"),
    accumulated("gru", "(index + 1) % 3 == 0"),
    accumulated("transformer", "(index + 1) % 3 == 0"),
)

NEAR_MISSES = (
    Edit("TD210", "mlp", ((LIMIT, "max_grad_norm = 0.05"),), "setup_step"),
    Edit(  # clipped twice, by value and by norm
        "TD211",
        "gru",
        ((CLIP, "    nn.utils.clip_grad_value_(model.parameters(), 0.5)\n" + CLIP),),
        "setup_loop",
    ),
    scheduled("TD406", "mlp", "LinearLR(optimizer, 1.0, 0.1, 1000)", each_batch=True),
    scheduled("TD407", "gru", "StepLR(optimizer, epochs)", each_batch=False),
    Edit("TD411", "mlp", ROTATED, "setup_step"),
    scaled(
        "mlp",
        "    scaler.step(optimizer)\n    scaler.update()\n",
        (CLIP, f"    scaler.unscale_(optimizer)\n{CLIP}"),
    ),
    averaged("mlp", "copy.deepcopy(model)", MASK),
    averaged("transformer", "copy.deepcopy(model)", MASK),
    accumulated("mlp", "(index + 1) % 3 == 0 or index + 1 == len(loader)"),
    accumulated("gru", "(index + 1) % 3 == 0 or index + 1 == len(loader)"),
)
