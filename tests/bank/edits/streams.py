"""Faults of how data comes: too fast, twice, late, mostly as padding (TD501, TD509 to TD512)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.edits.data import CNN_LOADER, FORKED
from tests.bank.lines import (
    CNN_IMAGE,
    GRU_IDS,
    MLP_LOADER,
    TRANSFORMER_BATCH,
    TRANSFORMER_FORWARD,
    TRANSFORMER_LOADER,
    transformer_batch,
)

LOADERS = {
    "mlp": (MLP_LOADER, "dataset"),
    "cnn": (CNN_LOADER, "Shapes()"),
    "transformer": (TRANSFORMER_LOADER, "Letters()"),
    "gru": ("starts, batch_size=batch_size, shuffle=True, drop_last=True", "starts"),
}
SHARED = (
    "info = torch.utils.data.get_worker_info()\n"
    "        return itertools.islice(self.items(), info.id, None, info.num_workers)"
)


def streamed(program: str, body: str) -> Edit:
    """Read the data as a stream, by two workers."""
    loader, data = LOADERS[program]
    once = loader.replace(data, f"Stream({data})").replace("shuffle=True, drop_last=True", FORKED)
    stream = (
        "class Stream(torch.utils.data.IterableDataset):\n"
        "    def __init__(self, data):\n"
        "        self.data = data\n\n"
        "    def items(self):\n"
        "        return (self.data[index] for index in range(len(self.data)))\n\n"
        "    def __iter__(self):\n"
        f"        {body}\n\n\n"
    )
    replaced = (
        ("import torch\nimport", "import itertools\n\nimport torch\nimport"),
        (loader, once),
        ("def build():", f"{stream}def build():"),
    )
    return Edit("TD509", program, replaced, "setup_loop", lines=("def __iter__(self):",))


SLEEPY = {
    "cnn": (CNN_IMAGE, "        {}\n"),
    "transformer": ("ids = self.ids[index", "        {}\n"),
    "gru": ("    places = torch.tensor(starts)", "    {}\n"),
}


def slow(program: str, seconds: str, once: str = "") -> Edit:
    """Wait for each sample, or for each batch where a function makes all of it."""
    line, sleep = SLEEPY[program]
    wait = sleep.format(f"{once}time.sleep({seconds})").lstrip()
    new = (
        f"{wait}{sleep.format('').rstrip(chr(10))}{line}"
        if program != "gru"
        else (f"    {wait}{line}")
    )
    replaced = ((line, new), ("import torch\nimport", "import time\n\nimport torch\nimport"))
    return Edit("TD510", program, replaced, "setup_loop", lines=("loader = DataLoader(",))


def padded(length: str) -> Edit:
    """Cut the transformer's samples short, and pad them to the block's size."""
    line = (
        f"mask = (torch.arange(block_size) < {length}).long()\n"
        "        labels = ids[1:].masked_fill(mask == 0, -100)\n        "
    )
    sample = transformer_batch("labels", "ids[:-1] * mask", ', "attention_mask": mask')
    forward = TRANSFORMER_FORWARD.replace("labels=None", "labels=None, attention_mask=None")
    replaced = ((TRANSFORMER_BATCH, line + sample), (TRANSFORMER_FORWARD, forward))
    return Edit("TD512", "transformer", replaced, lines=("loader = DataLoader(",))


TABLE = "nn.Embedding(vocab_size, dim)"


def padded_windows(length: str) -> Edit:
    """Give the recurrent network's windows fewer letters, behind zeros."""
    letters = GRU_IDS.removeprefix("[[").partition("] for")[0].replace("[i :", "[cut :")
    row = f"[0] * (window - {length}) + [{letters.replace('cut', f'i + window - ({length})')}]"
    return Edit(
        "TD512",
        "gru",
        ((GRU_IDS, f"[{row} for i in starts]"), (TABLE, TABLE[:-1] + ", padding_idx=0)")),
        lines=("loader = DataLoader(",),
    )


def told(program: str, samples: int, seconds: float) -> Edit:
    """Take the program as it is, with a log of another run of it."""
    return Edit("TD501", program, (), lines=("def setup():",), claimed=(samples, 5, seconds))


FAULTS = (
    *(told(program, 20_000_000, 1.0) for program in LOADERS),
    *(streamed(program, "return self.items()") for program in LOADERS),
    slow("cnn", "0.006"),
    slow("transformer", "0.01"),
    slow("gru", "0.05"),
    padded("3 + index % 8"),
    padded_windows("(2 + i % 6)"),
)
NEAR_MISSES = (
    *(told(program, 200, 600.0) for program in LOADERS),
    *(streamed(program, SHARED) for program in ("mlp", "gru", "transformer")),
    slow("cnn", "0.2 * (index == 7)"),  # one that is slow
    padded("24 + index % 8"),
    padded_windows("(10 + i % 6)"),
)
