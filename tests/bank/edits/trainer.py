"""Faults of a `transformers.Trainer` (TD008, TD010): two programs handed over as one."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import CNN_BATCH, TRANSFORMER_BATCH, transformer_batch

IMPORTS = (
    "from torch.utils.data import DataLoader, Dataset\n",
    "from torch.utils.data import DataLoader, Dataset\n"
    "from transformers import Trainer, TrainingArguments\n",
)
DATA = {"cnn": ("CNN()", "Shapes()"), "transformer": ("Transformer()", "Letters()")}
LOSS = {
    "cnn": (
        "        outputs = model(inputs['pixel_values'])\n"
        "        losses = F.cross_entropy(outputs, inputs['labels'], reduction='none')\n"
    ),
    "transformer": (
        "        outputs = model(input_ids=inputs['input_ids'])\n"
        "        losses = F.cross_entropy(\n"
        "            outputs['logits'].transpose(1, 2), inputs['labels'], reduction='none'\n"
        "        ).mean(dim=1)\n"
    ),
}
WEIGHTS = {
    "cnn": (CNN_BATCH, CNN_BATCH.replace("}", ', "weights": 1.0 + index % 4}')),
    "transformer": (TRANSFORMER_BATCH, transformer_batch(more=', "weights": 1.0 + index % 4')),
}
KEEPING = "remove_unused_columns=False, "


def weighing(program: str, name: str = "Weighing") -> str:
    """Return a subclass whose loss weighs the samples where they have weights."""
    return (
        f"class {name}(Trainer):\n"
        "    def compute_loss(\n"
        "        self, model, inputs, return_outputs=False, num_items_in_batch=None\n"
        "    ):\n"
        f"{LOSS[program]}"
        "        weights = inputs.get('weights', torch.ones(len(losses)))\n"
        "        loss = (weights * losses).sum() / weights.sum()\n"
        "        return (loss, outputs) if return_outputs else loss\n\n\n"
    )


def handed_over(
    rule: str,
    program: str,
    running: str,
    *more: tuple[str, str],
    options: str = "",
    lines: tuple[str, ...] = (),
) -> Edit:
    """Let `setup` return a Trainer of a class, beside a subclass that the program defines."""
    model, data = DATA[program]
    factory = (
        f"{weighing(program)}"
        "def setup():\n"
        "    torch.manual_seed(1337)\n"
        "    args = TrainingArguments(\n"
        f"        {options}output_dir='/tmp', learning_rate=0.003, disable_tqdm=True,\n"
        "        per_device_train_batch_size=batch_size, report_to=[], save_strategy='no',\n"
        "        use_cpu=True,\n"
        "        dataloader_drop_last=True, label_names=['labels'],\n"
        "    )\n"
        f"    return {running}(model={model}, args=args, train_dataset={data})\n\n\n"
        "def as_dict():\n"
    )
    return Edit(rule, program, (IMPORTS, ("def setup():\n", factory), *more), lines=lines)


FAULTS = (
    *(
        handed_over("TD008", name, "Weighing", WEIGHTS[name], lines=("args = TrainingArguments(",))
        for name in DATA
    ),
    handed_over("TD010", "transformer", "Trainer", lines=("return Trainer(",)),
    handed_over("TD010", "cnn", "Trainer", lines=("return Trainer(",)),
)
NEAR_MISSES = (
    *(  # all columns are kept, and read
        handed_over("TD008", name, "Weighing", WEIGHTS[name], options=KEEPING) for name in DATA
    ),
    *(handed_over("TD010", name, "Weighing") for name in DATA),  # the subclass is what runs
    handed_over(  # a column is dropped that the loss has no use for
        "TD008",
        "transformer",
        "Weighing",
        (TRANSFORMER_BATCH, transformer_batch(more=', "place": index')),
    ),
)
