"""Faults of the loss (TD1)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    CNN_HEAD,
    CNN_LOGITS,
    CNN_LOSS,
    CNN_OPTIMIZER,
    CNN_STEM,
    GRU_FORWARD,
    GRU_LOSS,
    LOGITS,
    MASK,
    MLP_LOSS,
    MLP_STEM,
    PER_TOKEN,
    TRANSFORMER_LOGITS,
    TRANSFORMER_LOSS,
    ZERO_BIAS,
)

LOSS_WITHOUT_GRADIENT = (
    Edit("TD101", "mlp", ((MLP_LOSS, MLP_LOSS + ".detach()"),), lines=(MLP_LOSS,)),
    Edit(
        "TD101",
        "cnn",
        ((CNN_LOSS, '(outputs.argmax(dim=1) != batch["labels"]).float().mean()'),),
        lines=("outputs.argmax(dim=1)",),
    ),
    Edit(
        "TD101",
        "gru",
        ((GRU_FORWARD, f"@torch.no_grad()\n    {GRU_FORWARD}"),),
        lines=("@torch.no_grad()", GRU_FORWARD),
    ),
    Edit(
        "TD101",
        "transformer",
        ((TRANSFORMER_LOSS, f"torch.tensor({TRANSFORMER_LOSS}.item())"),),
        lines=(TRANSFORMER_LOSS,),
    ),
)

LOSS_NOT_FINITE = (
    Edit(
        "TD102",
        "mlp",
        ((MLP_STEM, "x = F.relu(self.stem(x.log()))"),),
        lines=("x.log()",),
    ),
    Edit(
        "TD102",
        "cnn",
        (
            (
                CNN_STEM,
                "darkest = pixel_values.clamp(min=0).amin(dim=(1, 2, 3), keepdim=True)\n"
                "        x = F.relu(self.stem(pixel_values / darkest))",
            ),
        ),
        lines=("pixel_values / darkest",),
    ),
    Edit(
        "TD102",
        "gru",
        ((GRU_LOSS, 'F.cross_entropy(outputs, labels, reduction="none")[labels == 0].mean()'),),
        lines=("[labels == 0].mean()",),
    ),
    Edit(
        "TD102",
        "transformer",
        ((MASK, MASK.replace("block_size))", "block_size), diagonal=-1)")),),
        lines=("weights = F.softmax(", "diagonal=-1"),
    ),
)

CONSTANT_LOSS = (  # masks that are never true, and a division that rounds to 0
    Edit(
        "TD103",
        "mlp",
        (
            (
                MLP_LOSS,
                '(F.cross_entropy(outputs, targets, reduction="none") * (targets < 0)).mean()',
            ),
        ),
    ),
    Edit("TD103", "cnn", ((CNN_LOSS, f"1 // num_classes * {CNN_LOSS}"),)),
    Edit(
        "TD103",
        "gru",
        (
            (
                GRU_LOSS,
                '(F.cross_entropy(outputs, labels, reduction="none") * (labels < 32)).mean()',
            ),
        ),
    ),
    Edit(
        "TD103",
        "transformer",
        ((TRANSFORMER_LOSS, f"({PER_TOKEN} * labels.flatten().eq(-100)).mean()"),),
    ),
)

INITIAL_LOSS_OFF = (
    Edit("TD104", "mlp", ((ZERO_BIAS, "nn.init.normal_(self.head.weight, std=2.0)"),)),
    Edit(
        "TD104",
        "cnn",
        ((CNN_HEAD, f"{CNN_HEAD}\n        nn.init.normal_(self.head.weight, std=8.0)"),),
    ),
    Edit("TD104", "gru", ((ZERO_BIAS, "nn.init.normal_(self.head.weight, std=4.0)"),)),
    Edit("TD104", "transformer", ((ZERO_BIAS, "nn.init.normal_(self.head.weight, std=2.0)"),)),
)

ASCENDING_LOSS = (
    Edit("TD106", "mlp", ((MLP_LOSS, f"-{MLP_LOSS}"),)),
    Edit("TD106", "cnn", ((CNN_OPTIMIZER, CNN_OPTIMIZER.replace("0.9", "0.9, maximize=True")),)),
    Edit(
        "TD106",
        "gru",
        ((GRU_LOSS, "F.log_softmax(outputs, dim=1).gather(1, labels[:, None]).mean()"),),
    ),
    Edit(
        "TD106",
        "transformer",
        (("loss.backward()", "(-loss).backward()"),),
        factory="setup_step",
    ),
)

DOUBLE_SOFTMAX = (
    Edit(
        "TD107",
        "mlp",
        ((LOGITS, "return F.softmax(self.head(x), dim=1)"),),
        lines=("F.softmax(", MLP_LOSS),
    ),
    Edit(
        "TD107",
        "cnn",
        ((CNN_LOGITS, "return F.softmax(self.head(features), dim=0)"),),
        lines=("F.softmax(", CNN_LOSS),
    ),
    Edit(
        "TD107",
        "gru",
        ((GRU_LOSS, "F.nll_loss(F.softmax(outputs, dim=1), labels)"),),
        lines=("F.nll_loss(",),
    ),
    Edit(
        "TD107",
        "transformer",
        ((TRANSFORMER_LOGITS, "logits = self.head(self.norm(x)).softmax(dim=-1)"),),
        lines=(".softmax(dim=-1)", TRANSFORMER_LOSS),
    ),
)

FAULTS = (
    *LOSS_WITHOUT_GRADIENT,
    *LOSS_NOT_FINITE,
    *CONSTANT_LOSS,
    *INITIAL_LOSS_OFF,
    *ASCENDING_LOSS,
    *DOUBLE_SOFTMAX,
)

NEAR_MISSES = (
    Edit(  # an evaluation loss
        "TD101",
        "mlp",
        (
            (
                "    optimizer.step()\n",
                "    optimizer.step()\n"
                "    with torch.no_grad():\n"
                "        print(loss_fn(model(inputs), targets).item())\n",
            ),
        ),
        factory="setup_step",
    ),
    Edit("TD104", "mlp", ((MLP_LOSS, MLP_LOSS.replace(")", ", label_smoothing=0.1)")),)),
    Edit(  # a density's negative log-likelihood, which falls below 0
        "TD106",
        "mlp",
        (
            ("nn.Linear(hidden, num_classes)", "nn.Linear(hidden, 1)"),
            (
                MLP_LOSS,
                "F.gaussian_nll_loss("
                "outputs.squeeze(1), targets.float(), torch.full(targets.shape, 0.05))",
            ),
        ),
    ),
    Edit(  # log-probabilities
        "TD107",
        "gru",
        ((GRU_LOSS, "F.nll_loss(F.log_softmax(outputs, dim=1), labels)"),),
    ),
    Edit(  # soft targets
        "TD107",
        "mlp",
        ((MLP_LOSS, "F.cross_entropy(outputs, F.one_hot(targets, num_classes).float())"),),
    ),
)
