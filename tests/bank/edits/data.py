"""Faults of the data's order, and of what workers make of it (TD503, TD504, TD508)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.edits.control import EPOCH, STEP_CALL, looped
from tests.bank.lines import (
    CNN_IMAGE,
    CNN_LABEL,
    LETTER_IDS,
    MLP_LOADER,
    TRANSFORMER_BATCH,
    TRANSFORMER_LOADER,
    transformer_batch,
)

IN_ORDER = (MLP_LOADER, MLP_LOADER.replace("shuffle=True", "shuffle=False"))
NEXT = "batch = next(iter(loader))"
CNN_LOADER = "DataLoader(Shapes(), batch_size=batch_size, shuffle=True, drop_last=True)"
CNN_GENERATOR = "generator = torch.Generator().manual_seed(1337)\n        self.labels"
OWN_GENERATOR = CNN_GENERATOR.replace("generator =", "self.rng = generator =")
NOISE = (CNN_IMAGE, f"{CNN_IMAGE} + 0.1 * torch.randn(1, size, size, generator=self.rng)")
FORKED = "num_workers=2, multiprocessing_context='fork'"  # the way of most, wherever it is run
WORKERS = (CNN_LOADER, CNN_LOADER.replace("drop_last=True", FORKED))
SEEDED = CNN_LOADER.replace("drop_last=True", f"{FORKED}, worker_init_fn=seed")
SEED = (
    "def build():",
    "def seed(worker):\n    data = torch.utils.data.get_worker_info().dataset\n"
    "    data.rng.manual_seed(worker)\n\n\ndef build():",
)
NOISY = """class Noisy(TensorDataset):
    def __init__(self, *tensors):
        super().__init__(*tensors)
        self.rng = torch.Generator().manual_seed(1337)

    def __getitem__(self, index):
        x, y = super().__getitem__(index)
        return x + 0.1 * torch.randn(3, generator=self.rng), y


"""
DROPPED = "kept = torch.rand(block_size, generator=self.rng) > 0.1\n        "
GRU_STARTS = "starts = range(len(text) - window)"
CNN_KINDS = "torch.randint(num_classes, (num_images,), generator=generator)"
ARMS = "torch.arange(num_points) % num_classes"

SAME_BATCH_AGAIN = (
    looped(
        "TD503",
        "mlp",
        f"        for _ in range(len(loader)):\n            {NEXT}\n            {STEP_CALL}\n",
        NEXT,
        IN_ORDER,
    ),
    Edit(
        "TD503",
        "cnn",
        ((CNN_IMAGE, "image = self.images[0]"), (CNN_LABEL, "label = self.labels[0]")),
        lines=("def __getitem__(self, index):",),
    ),
    looped(
        "TD503",
        "transformer",
        f"        first = {NEXT[8:]}\n        for batch in loader:\n"
        f"            {STEP_CALL.replace('batch', 'first')}\n",
        "for batch in loader:",
    ),
)
NOT_SHUFFLED = (
    Edit(
        "TD504",
        "mlp",
        (IN_ORDER, (ARMS, "torch.arange(num_points) * num_classes // num_points")),
        lines=("loader = DataLoader(",),
    ),
    Edit(
        "TD504",
        "cnn",
        (
            (CNN_LOADER, CNN_LOADER.replace("shuffle=True, ", "")),
            (CNN_KINDS, f"{CNN_KINDS}.sort().values"),
        ),
        "setup_loop",
        lines=("loader = DataLoader(",),
    ),
    Edit(  # by the letter that comes next
        "TD504",
        "gru",
        (
            (GRU_STARTS, f"starts = sorted({GRU_STARTS[9:]}, key=lambda i: text[i + window])"),
            ("shuffle=True", "shuffle=False"),
        ),
        "setup_loop",
        lines=("loader = DataLoader(",),
    ),
)
WORKER_RANDOMNESS_REPEATS = (
    Edit(  # letters that are dropped
        "TD508",
        "transformer",
        (
            (LETTER_IDS, f"{LETTER_IDS}\n        self.rng = torch.Generator().manual_seed(1337)"),
            (TRANSFORMER_BATCH, DROPPED + transformer_batch(inputs="ids[:-1] * kept")),
            (TRANSFORMER_LOADER, TRANSFORMER_LOADER.replace("drop_last=True", FORKED)),
        ),
        "setup_step",
        lines=("self.rng = torch.Generator()",),
    ),
    Edit(
        "TD508",
        "mlp",
        (
            ("TensorDataset(features, labels)", "Noisy(features, labels)"),
            ("def build():", f"{NOISY}def build():"),
            (MLP_LOADER, MLP_LOADER.replace("drop_last=True", FORKED)),
        ),
        "setup_step",
        lines=("self.rng = torch.Generator()",),
    ),
    Edit(
        "TD508",
        "cnn",
        (NOISE, WORKERS, (CNN_GENERATOR, OWN_GENERATOR)),
        "setup_step",
        lines=("self.rng = generator",),
    ),
)
FAULTS = (*SAME_BATCH_AGAIN, *NOT_SHUFFLED, *WORKER_RANDOMNESS_REPEATS)
NEAR_MISSES = (
    looped(  # another first batch each time
        "TD503",
        "mlp",
        f"        for _ in range(len(loader)):\n            {NEXT}\n            {STEP_CALL}\n",
        "",
    ),
    looped(  # a look at the first batch before the training
        "TD503",
        "transformer",
        f"        print({NEXT[8:]}['labels'].shape)\n{EPOCH}",
        "",
    ),
    Edit("TD504", "mlp", (IN_ORDER,), "setup_loop"),  # the arms take turns
    Edit(  # windows of a text, one after the other
        "TD504",
        "transformer",
        ((TRANSFORMER_LOADER, TRANSFORMER_LOADER.replace("shuffle=True, ", "")),),
    ),
    Edit(
        "TD508",
        "cnn",
        (NOISE, (CNN_LOADER, SEEDED), SEED, (CNN_GENERATOR, OWN_GENERATOR)),
        "setup_step",
    ),
)
