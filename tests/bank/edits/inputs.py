"""Faults of what goes into the model and into the loss: targets, padding, scale, other data."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    CNN_IMAGE,
    LOOP,
    MASK,
    TRANSFORMER_BATCH,
    TRANSFORMER_FORWARD,
    TRANSFORMER_LOSS,
    transformer_batch,
)

TARGETS_VISIBLE = (
    Edit(
        "TD112",
        "transformer",
        ((MASK, MASK.replace("torch.tril(", "(")),),
        lines=(f"loss = {TRANSFORMER_LOSS}",),
    ),
    Edit(  # shifted once in the data, and once more in the model
        "TD112",
        "transformer",
        (
            (
                TRANSFORMER_LOSS,
                "F.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten())",
            ),
        ),
        factory="setup_step",
        lines=("logits[:, :-1]",),
    ),
    Edit(
        "TD112",
        "transformer",
        ((TRANSFORMER_BATCH, transformer_batch("ids[:-1]")),),
        factory="setup_loop",
        lines=(f"loss = {TRANSFORMER_LOSS}",),
    ),
)

PADDED = transformer_batch("labels", "padded", ', "attention_mask": mask')
PADDING = """length = 8 + index % (block_size - 8)
        mask = (torch.arange(block_size) < length).long()
        padded = ids[:-1] * mask
        labels = {}
        """
MASKED = TRANSFORMER_FORWARD.replace("labels=None", "labels=None, attention_mask=None")
PADDING_IN_LOSS = (
    Edit(
        "TD111",
        "transformer",
        (
            (TRANSFORMER_BATCH, PADDING.format("ids[1:] * mask") + PADDED),
            (TRANSFORMER_FORWARD, MASKED),
        ),
        lines=("loader = DataLoader(",),
    ),
)
PADDING_ATTENDED = (
    Edit(
        "TD015",
        "transformer",
        (
            (
                TRANSFORMER_BATCH,
                PADDING.format("(padded + index) % 3")
                + PADDED.replace('"labels": labels', '"labels": labels[0]'),
            ),
            (TRANSFORMER_FORWARD, MASKED),
            (MASK, MASK.replace("torch.tril(", "(")),
            (
                TRANSFORMER_LOSS,
                "F.cross_entropy(logits.mean(1), labels)",
            ),
        ),
        lines=(MASKED,),
    ),
)

VALIDATION = """"loss_fn": loss_fn,
        "validation_loader": DataLoader({}, batch_size=batch_size),"""
OVERLAP = (
    Edit(
        "TD511",
        "mlp",
        (('"loss_fn": loss_fn,', VALIDATION.format("TensorDataset(*loader.dataset[:64])")),),
        lines=('"validation_loader": DataLoader(',),
    ),
    Edit(
        "TD511",
        "gru",
        (('"loss_fn": loss_fn,', VALIDATION.format("range(100), collate_fn=collate")),),
        lines=('"validation_loader": DataLoader(',),
    ),
    Edit(
        "TD511",
        "cnn",
        (('"loss_fn": loss_fn,', VALIDATION.format("Shapes()")),),
        lines=('"validation_loader": DataLoader(',),
    ),
    Edit(
        "TD511",
        "transformer",
        (
            (
                '"max_grad_norm": max_grad_norm,',
                VALIDATION.format("Letters()").replace(
                    '"loss_fn": loss_fn', '"max_grad_norm": max_grad_norm'
                ),
            ),
        ),
        lines=('"validation_loader": DataLoader(',),
    ),
)

NOT_NORMALISED = (
    Edit(
        "TD506",
        "mlp",
        (("(features - features.mean(0)) / features.std(0)", "1000 * features + 20000"),),
        lines=("loader = DataLoader(",),
    ),
    Edit(
        "TD506",
        "cnn",
        ((CNN_IMAGE, CNN_IMAGE + " * 1000 + 50000"),),
        lines=("loader = DataLoader(",),
    ),
)

EPOCHS = "    for epoch in range(epochs):\n"
TOLD = 'print(f"step {step}: val loss {loss_of(x, y).item():.5f}")'
HELD_OUT = {  # inputs and labels, and the loss of both
    "mlp": ("x, y = spiral()", "loss_fn(model(x), y)"),
    "cnn": ("x, y = Shapes().images, Shapes().labels", 'loss_fn(model(x), {"labels": y})'),
    "gru": (
        "x = collate(range(256))\n    x, y = x, x.pop('labels')",
        "loss_fn(model(**x), y)",
    ),
    "transformer": (
        "x, y = default_collate([Letters()[i] for i in range(64)]).values()",
        "model(x, y)['loss']",
    ),
}


def validating(program: str, labels: str) -> Edit:
    """Validate at each step, on data of the same kind."""
    made, loss = HELD_OUT[program]
    if program != "gru":
        made += "\n    x, y = x[:64], y[:64]"
    before = f"    {made}\n    y = {labels}\n    loss_of = lambda x, y: {loss}\n{EPOCHS}"
    loop = (
        "        for step, batch in enumerate(loader):\n"
        "            loss = train_step(model, batch, optimizer)\n"
        f"            {TOLD}\n"
    )
    imported = ("import DataLoader", "import DataLoader, default_collate")
    return Edit(
        "TD116",
        program,
        ((EPOCHS, before), (f"        {LOOP}", loop), imported),
        factory="setup_loop",
        lines=(TOLD,),
    )


VALIDATION_DEPARTS = (
    validating("mlp", "(y + 1) % num_classes"),
    validating("cnn", "(y + 1) % num_classes"),
    validating("gru", "(y + 1) % vocab_size"),
    validating("transformer", "(y + 1) % vocab_size"),
)

FAULTS = (
    *TARGETS_VISIBLE,
    *PADDING_IN_LOSS,
    *PADDING_ATTENDED,
    *OVERLAP,
    *NOT_NORMALISED,
    *VALIDATION_DEPARTS,
)
NEAR_MISSES = (
    *(validating(program, "y") for program in HELD_OUT),
    Edit(  # masked tokens are predicted from both sides
        "TD112",
        "transformer",
        (
            (MASK, MASK.replace("torch.tril(", "(")),
            (
                TRANSFORMER_BATCH,
                "hidden = torch.arange(block_size) % 5 == index % 5\n        "
                + transformer_batch("ids[:-1].masked_fill(~hidden, -100)").replace(
                    "ids[:-1],", "ids[:-1].masked_fill(hidden, 0),"
                ),
            ),
        ),
    ),
    Edit(  # labels of padding are left out
        "TD111",
        "transformer",
        (
            (
                TRANSFORMER_BATCH,
                PADDING.format("ids[1:].masked_fill(mask == 0, -100)") + PADDED,
            ),
            (TRANSFORMER_FORWARD, MASKED),
        ),
    ),
)
