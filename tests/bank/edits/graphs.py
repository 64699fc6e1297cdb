"""Faults of graphs and of courses (TD105, TD205, TD301, TD303), and of runs that go on (TD417)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.edits.control import CLIP
from tests.bank.edits.handling import HEAD, scheduled
from tests.bank.lines import (
    BACKWARD,
    CNN_STEM,
    GRU_CELL,
    LOOP,
    MLP_STEM,
    MODELS,
    OPTIMIZERS,
    STATE,
    TRANSFORMER_TOKENS,
    ZERO_BIAS,
)


def written(program: str, old: str, new: str, line: str = "") -> Edit:
    """Write into a tensor behind an operation."""
    lines = (line,) if line else ()
    return Edit("TD303", program, ((old, f"{new}\n        {line or 'x += 1'}"),), lines=lines)


WEIGHTS = "weights = F.softmax(scores, dim=-1)"
IN_PLACE = (
    written("mlp", MLP_STEM, "x = torch.sigmoid(self.stem(x))", "x += 1"),
    written("cnn", CNN_STEM, "x = torch.sigmoid(self.stem(pixel_values))", "x += 1"),
    written("gru", STATE, "x = torch.tanh(state[-1])", "x *= 2"),
    written("transformer", WEIGHTS, WEIGHTS, "weights *= 0.9"),
)
TWICE = (
    Edit(  # the last batch's state is the next one's first
        "TD301",
        "gru",
        (
            (ZERO_BIAS, f"{ZERO_BIAS}\n        self.memory = torch.zeros(1, batch_size, dim)"),
            (GRU_CELL, "_, self.memory = self.gru(x, start[None] + self.memory)"),
            (STATE, "x = self.memory[-1]"),
        ),
        "setup_loop",
        lines=("_, self.memory = self.gru(",),
    ),
    Edit(  # a sum that is never begun anew
        "TD301",
        "mlp",
        (
            (HEAD, f"total = torch.zeros(())\n\n\n{HEAD}    global total\n"),
            (BACKWARD, "    total = total + loss\n    total.backward()\n"),
        ),
        "setup_step",
        lines=("total = total + loss",),
    ),
    Edit(  # a second pass over one loss
        "TD301",
        "cnn",
        ((BACKWARD, BACKWARD + "    loss.backward(None)\n"),),
        "setup_step",
        lines=("loss.backward(None)",),
    ),
    Edit(  # positions that are embedded once
        "TD301",
        "transformer",
        (
            (ZERO_BIAS, f"{ZERO_BIAS}\n        self.places = None"),
            (
                TRANSFORMER_TOKENS,
                "if self.places is None:\n"
                "            self.places = self.positions(torch.arange(time))\n"
                "        x = self.tokens(input_ids) + self.places",
            ),
        ),
        lines=("self.places = self.positions(",),
    ),
)


def spiking(program: str, *, is_clipped: bool) -> Edit:
    """Weigh one batch of the third epoch a hundred thousand times as much as the others."""
    loop = (
        "        for index, batch in enumerate(loader):\n"
        "            weight = 1e5 if (epoch, index) == (2, 3) else 1.0\n"
        "            loss = train_step(model, batch, optimizer, weight)\n"
    )
    replaced = [
        (HEAD, HEAD.replace("):", ", weight=1.0):")),
        (BACKWARD, "    (weight * loss).backward()\n"),
        (f"        {LOOP}", loop),
    ]
    if not is_clipped:  # nothing else bounds the step, as Adam would
        replaced.append((OPTIMIZERS[program], "torch.optim.SGD(model.parameters(), lr=0.05)"))
    if not is_clipped and program != "cnn":
        replaced.append((CLIP, ""))
    return Edit("TD205", program, tuple(replaced), "setup_loop", lines=("optimizer.step()",))


def earlier(program: str, *more: str) -> Edit:
    """Go on from the checkpoint of an earlier run."""
    model = "model.load_state_dict(checkpoint['model'])"
    resumed = (
        "def earlier():\n"
        "    file = io.BytesIO()\n"
        "    model, loader, optimizer = fresh()\n"
        "    for batch in loader:\n"
        "        train_step(model, batch, optimizer)\n"
        "    state = {'model': model.state_dict(), 'optimizer': optimizer.state_dict()}\n"
        "    torch.save(state | {'epoch': 1}, file)\n"
        "    file.seek(0)\n"
        "    return file\n\n\n"
        "def build():\n"
        "    model, loader, optimizer = fresh()\n"
        "    checkpoint = torch.load(earlier())\n"
        f"    {model}\n"
        "    global start_epoch\n"
        "    start_epoch = checkpoint['epoch']\n" + "".join(f"    {line}\n" for line in more) +
        "    return model, loader, optimizer\n\n\n"
    )  # fmt: skip
    replaced = (
        ("import torch\nimport", "import io\n\nimport torch\nimport"),
        ("def build():", "def fresh():"),
        (HEAD, resumed + HEAD),
        ("range(epochs)", "range(start_epoch, start_epoch + epochs)"),
    )
    return Edit("TD417", program, replaced, "setup_loop", lines=(model,))


FAULTS = (
    *IN_PLACE,
    *TWICE,
    *(
        scheduled("TD105", program, f"ExponentialLR(optimizer, {growth})", each_batch=True)
        for program, growth in (("mlp", 1.2), ("cnn", 1.2), ("gru", 1.2), ("transformer", 1.2))
    ),
    *(earlier(program) for program in MODELS),
    *(spiking(program, is_clipped=False) for program in MODELS),
)
NEAR_MISSES = (
    *(spiking(program, is_clipped=True) for program in ("mlp", "gru", "transformer")),
    written("mlp", MLP_STEM, "x = self.stem(x)\n        x = x * torch.sigmoid(x)"),
    written("cnn", CNN_STEM, "x = F.relu(self.stem(pixel_values)) + 0"),
    written("gru", STATE, "x = torch.tanh(state[-1]).clone()"),
    Edit(
        "TD301",
        "gru",
        (
            (ZERO_BIAS, f"{ZERO_BIAS}\n        self.memory = torch.zeros(1, batch_size, dim)"),
            (GRU_CELL, "_, state = self.gru(x, start[None] + self.memory[:, : len(x)])"),
            (STATE, "self.memory = 0.1 * state.detach()\n        x = state[-1]"),
        ),
        "setup_loop",
    ),
    scheduled("TD105", "mlp", "ExponentialLR(optimizer, 1.001)", each_batch=True),
    scheduled("TD105", "transformer", "ExponentialLR(optimizer, 1.001)", each_batch=True),
    *(
        earlier(program, "optimizer.load_state_dict(checkpoint['optimizer'])")
        for program in ("mlp", "gru", "transformer")
    ),
)
