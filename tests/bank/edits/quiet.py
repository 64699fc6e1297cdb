"""Faults that let training go on: what the updates, the loss and the data are made of."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    BACKWARD,
    CNN_IMAGE,
    CNN_LOSS,
    GRU_FORWARD,
    GRU_LOSS,
    LOGITS,
    LOOP,
    MASK,
    MLP_LOSS,
    MODELS,
    OPTIMIZERS,
    RATES,
    STEP,
    TRANSFORMER_BATCH,
    TRANSFORMER_FORWARD,
    TRANSFORMER_LOSS,
    ZERO_GRAD,
    transformer_batch,
)

CLIP = "    nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)\n"


def decaying(program: str, decay: str) -> Edit:
    """Give the optimizer another weight decay."""
    new = OPTIMIZERS[program][:-1] + f", weight_decay={decay})"
    return Edit("TD412", program, ((OPTIMIZERS[program], new),), lines=(f"optimizer = {new}",))


DECAY_DOMINATES = (
    decaying("mlp", "100.0"),
    decaying("gru", "3.0"),
    decaying("transformer", "100.0"),
)

UPDATES_ROUNDED_AWAY = (
    Edit(
        "TD413",
        "mlp",
        (
            (MODELS["mlp"], "    model = MLP().bfloat16()\n"),
            ("x = F.relu(self.stem(x))", "x = F.relu(self.stem(x.bfloat16()))"),
            (LOGITS, "return self.head(x).float()"),
            (RATES["mlp"], "learning_rate = 2e-5"),
        ),
        lines=("MLP().bfloat16()",),
    ),
    Edit(
        "TD413",
        "transformer",
        (
            (MODELS["transformer"], "    model = Transformer().to(torch.bfloat16)\n"),
            (RATES["transformer"], "learning_rate = 1e-5"),
        ),
        lines=("Transformer().to(torch.bfloat16)",),
    ),
)

LABELS_IGNORED = (
    Edit(
        "TD113",
        "mlp",
        ((MLP_LOSS, "F.cross_entropy(outputs, outputs.argmax(dim=1))"),),
        lines=("outputs.argmax(dim=1)",),
    ),
    Edit(
        "TD113",
        "cnn",
        ((CNN_LOSS, 'F.cross_entropy(outputs, batch["labels"].clamp(max=0))'),),
        lines=(".clamp(max=0)",),
    ),
    Edit(
        "TD113",
        "gru",
        ((GRU_LOSS, "F.cross_entropy(outputs, (labels > 200).long())"),),
        lines=("(labels > 200).long()",),
    ),
)

INPUT_IGNORED = (
    Edit(
        "TD108",
        "gru",
        (
            ("self.embedding(input_ids)", "self.embedding(torch.zeros_like(input_ids))"),
            ("self.place(place)", "self.place(torch.ones_like(place))"),
        ),
        lines=(GRU_FORWARD,),
    ),
    Edit(
        "TD108",
        "transformer",
        (("self.tokens(input_ids) +", "self.tokens(input_ids // vocab_size) +"),),
        lines=(TRANSFORMER_FORWARD,),
    ),
)

LOSS_SUMS = (
    Edit(
        "TD110",
        "cnn",
        ((CNN_LOSS, CNN_LOSS[:-1] + ', reduction="sum")'),),
        lines=('reduction="sum"',),
    ),
    Edit(
        "TD110",
        "transformer",
        ((TRANSFORMER_LOSS, TRANSFORMER_LOSS[:-1] + ', reduction="sum")'),),
        lines=('reduction="sum"',),
    ),
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
)

TRAIN_MODE_ONLY = (
    Edit(
        "TD602",
        "mlp",
        ((LOGITS, "return self.head(x) if self.training else self.head(-x)"),),
    ),
    Edit("TD602", "cnn", (("nn.BatchNorm2d(channels)", "nn.BatchNorm2d(channels, momentum=0)"),)),
)


def accumulating(program: str, backward: str, *more: tuple[str, str]) -> Edit:
    """Step once in two batches."""
    step = (
        "    {}\n"
        "    train_step.count = getattr(train_step, 'count', 0) + 1\n"
        "    if train_step.count % 2 == 0:\n"
        "        optimizer.step()\n"
        "        optimizer.zero_grad()\n"
    )
    replace = (
        (STEP, ""),
        (ZERO_GRAD, ""),
        (BACKWARD, step.format(backward)),
        *more,
    )
    return Edit("TD109", program, replace, "setup_loop", lines=(backward,))


ACCUMULATION = (
    accumulating("cnn", "loss.backward()"),
    accumulating(
        "mlp",
        "loss.backward()",
        (CLIP, ""),
        (OPTIMIZERS["mlp"], "torch.optim.SGD(model.parameters(), lr=0.05)"),
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

LOSS_CLIPPED = (
    Edit("TD114", "mlp", ((LOGITS, "return self.head(x).clamp(-0.2, 0.2)"),), lines=(".clamp(",)),
    Edit(
        "TD114",
        "gru",
        ((GRU_LOSS, 'F.cross_entropy(outputs, labels, reduction="none").clamp(max=4.0).mean()'),),
        lines=(".clamp(max=4.0)",),
    ),
)

TOLD = 'print(f"step {step}: val loss {loss_fn(model(x), y).item():.5f}")'


def validating(labels: str) -> Edit:
    """Validate at each step, on other points."""
    loop = (
        "x, y = spiral()\n"
        f"        x, y = x[:32], {labels}\n"
        "        for step, batch in enumerate(loader):\n"
        "            loss = train_step(model, batch, optimizer)\n"
        f"            {TOLD}\n"
    )
    return Edit("TD116", "mlp", ((LOOP, loop),), factory="setup_loop", lines=(TOLD,))


VALIDATION_DEPARTS = (validating("(y[:32] + 1) % 3"),)

NEAR_MISSES = (
    validating("y[:32]"),
    Edit("TD114", "mlp", ((LOGITS, "return self.head(x).clamp(-50, 50)"),)),
    accumulating("cnn", "(loss / 2).backward()"),
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
    decaying("mlp", "0.1"),
    decaying("gru", "1e-4"),
)

FAULTS = (
    *DECAY_DOMINATES,
    *UPDATES_ROUNDED_AWAY,
    *LABELS_IGNORED,
    *INPUT_IGNORED,
    *LOSS_SUMS,
    *TARGETS_VISIBLE,
    *PADDING_IN_LOSS,
    *PADDING_ATTENDED,
    *OVERLAP,
    *TRAIN_MODE_ONLY,
    *ACCUMULATION,
    *NOT_NORMALISED,
    *LOSS_CLIPPED,
    *VALIDATION_DEPARTS,
)
