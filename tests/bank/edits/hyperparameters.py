"""Faults of the settings: rates, dropout, clipping, decay, freezing, outputs out of reach."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    CNN_HEAD,
    CNN_LABEL,
    CNN_LOGITS,
    CNN_LOSS,
    FEATURES,
    GRU_LABELS,
    GRU_LOSS,
    LOGITS,
    MLP_LOSS,
    MODELS,
    OPTIMIZERS,
    RATES,
    STATE,
    TRANSFORMER_LOGITS,
)

LIMIT = "max_grad_norm = 1.0"
SGD = "torch.optim.SGD(model.parameters(), lr=0.3)"
FACTORY = {"mlp": "setup", "cnn": "setup_step", "gru": "setup_loop", "transformer": "setup"}

TOO_HIGH = {"mlp": "3.0", "cnn": "12.0", "gru": "1.0", "transformer": "0.6"}
TOO_LOW = {"mlp": "1e-6", "cnn": "3e-5", "gru": "1e-7", "transformer": "1e-7"}


def changing(rule: str, program: str, *replace: tuple[str, str], line: str = "") -> Edit:
    """Change the program; each is examined another way."""
    return Edit(rule, program, replace, FACTORY[program], lines=(line,) if line else ())


def learning(rule: str, program: str, rate: str) -> Edit:
    """Set another learning rate."""
    return changing(rule, program, (RATES[program], f"learning_rate = {rate}"))


def dropping(program: str, old: str, new: str) -> Edit:
    """Drop nearly all of what the head reads."""
    return changing("TD601", program, (old, new), line="F.dropout")


def clipping(program: str, limit: str) -> Edit:
    """Clip the gradients of an optimizer whose steps are as long as they."""
    return changing(
        "TD210", program, (OPTIMIZERS[program], SGD), (LIMIT, f"max_grad_norm = {limit}")
    )


def decaying(program: str, decay: str) -> Edit:
    """Let the weights decay."""
    new = OPTIMIZERS[program].replace("learning_rate", f"learning_rate, weight_decay={decay}")
    return changing("TD412", program, (OPTIMIZERS[program], new), line=f"optimizer = {new}")


def freezing(program: str, rest: str, rate: str) -> Edit:
    """Freeze all but a part that is too small for the task, at a rate that does not lack."""
    line = f"model.requires_grad_(False).{rest}.requires_grad_(True)"
    model = MODELS[program]
    return changing(
        "TD601",
        program,
        (model, f"{model}    {line}\n"),
        (RATES[program], f"learning_rate = {rate}"),
        line=line,
    )


FAULTS = (
    *(learning("TD408", program, rate) for program, rate in TOO_HIGH.items()),
    *(learning("TD409", program, rate) for program, rate in TOO_LOW.items()),
    dropping("mlp", LOGITS, "return self.head(F.dropout(x, 0.99, self.training))"),
    dropping("cnn", FEATURES, "features = F.dropout(x.mean(dim=(2, 3)), 0.99)"),
    dropping("gru", STATE, "x = F.dropout(state[-1], 0.97)"),
    dropping(
        "transformer", TRANSFORMER_LOGITS, "logits = self.head(F.dropout(self.norm(x), 0.97))"
    ),
    *(clipping(program, "1e-3") for program in ("mlp", "gru", "transformer")),
    freezing("mlp", "head.bias", "0.05"),
    freezing("gru", "head.bias", "0.05"),
    changing(  # targets beyond what comes out of a sigmoid
        "TD601",
        "mlp",
        ("return features, arms", "return features, 10.0 * arms[:, None]"),
        ("nn.Linear(hidden, num_classes)", "nn.Linear(hidden, 1)"),
        (LOGITS, "return torch.sigmoid(self.head(x))"),
        (MLP_LOSS, "F.mse_loss(outputs, targets)"),
        line="torch.sigmoid",
    ),
    changing(
        "TD601",
        "cnn",
        (CNN_LABEL, "label = 2.0 * self.labels[index] - 3"),
        (CNN_HEAD, "self.head = nn.Linear(channels, 1)"),
        (CNN_LOGITS, "return torch.tanh(self.head(features)).squeeze(1)"),
        (CNN_LOSS, 'F.mse_loss(outputs, batch["labels"])'),
        line="torch.tanh",
    ),
    changing(
        "TD601",
        "gru",
        (GRU_LABELS, GRU_LABELS.replace("ord(", "0.1 * ord(")),
        ("nn.Linear(dim, vocab_size)", "nn.Linear(dim, 1)"),
        ("return self.head(x)", "return torch.sigmoid(self.head(x)).squeeze(1)"),
        (GRU_LOSS, "F.mse_loss(outputs, labels)"),
        line="torch.sigmoid",
    ),
)

NEAR_MISSES = (
    learning("TD408", "mlp", "3e-2"),
    learning("TD409", "mlp", "5e-4"),
    learning("TD409", "transformer", "1e-3"),
    changing("TD601", "mlp", (LOGITS, "return self.head(F.dropout(x, 0.5, self.training))")),
    changing("TD601", "cnn", (FEATURES, "features = F.dropout(x.mean(dim=(2, 3)), 0.5)")),
    changing("TD601", "gru", (STATE, "x = F.dropout(state[-1], 0.5, self.training)")),
    changing("TD601", "mlp", ("nn.Dropout(0.05)", "nn.Dropout(0.6)")),
    decaying("mlp", "0.2"),
    decaying("transformer", "0.3"),
    clipping("mlp", "1.0"),
    changing(
        "TD601",
        "gru",
        (MODELS["gru"], f"{MODELS['gru']}    model.embedding.requires_grad_(False)\n"),
    ),
    changing(  # a probability, and a target that is one
        "TD601",
        "mlp",
        ("return features, arms", "return features, (arms[:, None] == 1).float()"),
        ("nn.Linear(hidden, num_classes)", "nn.Linear(hidden, 1)"),
        (LOGITS, "return torch.sigmoid(self.head(x))"),
        (MLP_LOSS, "F.mse_loss(outputs, targets)"),
    ),
)
