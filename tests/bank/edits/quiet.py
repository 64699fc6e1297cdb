"""Faults that let training go on: what the updates and the loss are made of."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    BACKWARD,
    CNN_FORWARD,
    CNN_LOGITS,
    CNN_LOSS,
    CNN_STEM,
    GRU_FORWARD,
    GRU_LOSS,
    LOGITS,
    MLP_LOSS,
    MLP_STEM,
    MODELS,
    OPTIMIZERS,
    RATES,
    STEP,
    TRANSFORMER_FORWARD,
    TRANSFORMER_LOGITS,
    TRANSFORMER_LOSS,
    ZERO_GRAD,
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
    decaying("transformer", "1000.0"),  # a step takes three times of each weight away
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
    Edit(
        "TD413",
        "gru",
        (
            (MODELS["gru"], "    model = GRU().bfloat16()\n"),
            ("self.place(place)", "self.place(place.bfloat16())"),
            (LOGITS, "return self.head(x).float()"),
            (RATES["gru"], "learning_rate = 1e-5"),
        ),
        lines=("GRU().bfloat16()",),
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
    Edit(
        "TD113",
        "transformer",
        (
            (
                TRANSFORMER_LOSS,
                "F.cross_entropy(logits.flatten(0, 1), logits.argmax(dim=-1).flatten())",
            ),
        ),
        lines=("logits.argmax(dim=-1)",),
    ),
)

INPUT_IGNORED = (
    Edit(
        "TD108",
        "mlp",
        ((MLP_STEM, "x = F.relu(self.stem(torch.zeros_like(x)))"),),
        lines=("def forward(self, x):",),
    ),
    Edit(
        "TD108",
        "cnn",
        ((CNN_STEM, "x = F.relu(self.stem(torch.zeros_like(pixel_values)))"),),
        lines=(CNN_FORWARD,),
    ),
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
        "mlp",
        ((MLP_LOSS, MLP_LOSS[:-1] + ', reduction="sum")'),),
        lines=('reduction="sum"',),
    ),
    Edit(
        "TD110",
        "gru",
        ((GRU_LOSS, GRU_LOSS[:-1] + ', reduction="sum")'),),
        lines=('reduction="sum"',),
    ),
    Edit(
        "TD110",
        "transformer",
        ((TRANSFORMER_LOSS, TRANSFORMER_LOSS[:-1] + ', reduction="sum")'),),
        lines=('reduction="sum"',),
    ),
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
    *(
        accumulating(
            program,
            "loss.backward()",
            (CLIP, ""),
            (OPTIMIZERS[program], "torch.optim.SGD(model.parameters(), lr=0.05)"),
        )
        for program in ("gru", "transformer")
    ),
)

LOSS_CLIPPED = (
    Edit("TD114", "mlp", ((LOGITS, "return self.head(x).clamp(-0.2, 0.2)"),), lines=(".clamp(",)),
    Edit(
        "TD114",
        "cnn",
        ((CNN_LOGITS, "return self.head(features).clamp(-0.05, 0.05)"),),
        lines=(".clamp(",),
    ),
    Edit(
        "TD114",
        "transformer",
        ((TRANSFORMER_LOGITS, "logits = self.head(self.norm(x)).clamp(-0.2, 0.2)"),),
        lines=(".clamp(",),
    ),
    Edit(
        "TD114",
        "gru",
        ((GRU_LOSS, 'F.cross_entropy(outputs, labels, reduction="none").clamp(max=4.0).mean()'),),
        lines=(".clamp(max=4.0)",),
    ),
)

NEAR_MISSES = (
    Edit("TD114", "mlp", ((LOGITS, "return self.head(x).clamp(-50, 50)"),)),
    accumulating("cnn", "(loss / 2).backward()"),
    decaying("mlp", "0.1"),
    decaying("gru", "1e-4"),
)

FAULTS = (
    *DECAY_DOMINATES,
    *UPDATES_ROUNDED_AWAY,
    *LABELS_IGNORED,
    *INPUT_IGNORED,
    *LOSS_SUMS,
    *ACCUMULATION,
    *LOSS_CLIPPED,
)
