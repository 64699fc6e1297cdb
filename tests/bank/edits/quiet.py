"""Faults that let training go on: what the updates, the loss and the data are made of."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import LOGITS, MODELS, OPTIMIZERS, RATES


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

NEAR_MISSES = (
    decaying("mlp", "0.1"),
    decaying("gru", "1e-4"),
)

FAULTS = (*DECAY_DOMINATES, *UPDATES_ROUNDED_AWAY)
