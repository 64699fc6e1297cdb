"""Faults of what is added up, frozen and recomputed (TD115, TD215, TD306), and of TD807."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    CNN_HEAD,
    CNN_LOSS,
    CNN_OPTIMIZER,
    CNN_STEM,
    GRU_LOSS,
    MLP_LOSS,
    MLP_STEM,
    MODELS,
    TRANSFORMER_LOSS,
    TRANSFORMER_TOKENS,
)

HEADS = {
    "mlp": "self.head = nn.Linear(hidden, num_classes)",
    "cnn": CNN_HEAD,
    "gru": "self.head = nn.Linear(dim, vocab_size)",
    "transformer": "self.head = nn.Linear(dim, vocab_size)",
}
LOSSES = {"mlp": MLP_LOSS, "cnn": CNN_LOSS, "gru": GRU_LOSS, "transformer": TRANSFORMER_LOSS}
GIVEN = {
    "mlp": ("outputs", "targets"),
    "cnn": ("outputs", 'batch["labels"]'),
    "gru": ("outputs", "labels"),
    "transformer": ("logits.flatten(0, 1)", "labels.flatten()"),
}
SQUARED = "F.mse_loss("


def added(
    program: str,
    scale: str,
    *more: tuple[str, str],
    weight: str = "",
    function: str = SQUARED,
) -> Edit:
    """Let one more output guess the label as a number of some unit, beside the cross entropy."""
    head, (outputs, labels) = HEADS[program], GIVEN[program]
    number = f"{weight}{function}{outputs}[:, -1], {scale} * {labels})"
    loss = f"F.cross_entropy({outputs}[:, :-1], {labels}) + {number}"
    replaced = ((head, f"{head[:-1]} + 1)"), (LOSSES[program], loss), *more)
    return Edit("TD115", program, replaced, lines=(function,))


def named(program: str, *lines: str) -> Edit:
    """Freeze a part of a model in some words."""
    model = MODELS[program]
    text = model + "".join(f"    {line}\n" for line in lines)
    return Edit("TD215", program, ((model, text),), lines=(lines[-1].strip(),))


CHECKPOINT = "torch.utils.checkpoint.checkpoint({}, {}, use_reentrant={})"
CALLS = {
    "mlp": (MLP_STEM, "self.stem", "x"),
    "cnn": (CNN_STEM, "self.stem", "pixel_values"),
    "gru": ("x = self.embedding(input_ids)", "self.embedding", "input_ids"),
    "transformer": (TRANSFORMER_TOKENS, "self.tokens", "input_ids"),
}


def recomputed(program: str, is_reentrant: bool) -> Edit:
    """Run the first layer under a checkpoint."""
    line, layer, given = CALLS[program]
    new = line.replace(f"{layer}({given})", CHECKPOINT.format(layer, given, is_reentrant))
    return Edit("TD306", program, ((line, new),), lines=("checkpoint.checkpoint(",))


def divergence(program: str, how: str, classes: str) -> Edit:
    """Take the KL divergence from labels as probabilities."""
    outputs, labels = GIVEN[program]
    loss = f"F.kl_div(F.log_softmax({outputs}, -1), F.one_hot({labels}, {classes}).float(){how})"
    return Edit("TD807", program, ((LOSSES[program], loss),), lines=("F.kl_div(",))


FAULTS = (
    added("mlp", "1000.0"),
    added("cnn", "255.0", (CNN_OPTIMIZER, "torch.optim.Adam(model.parameters(), lr=0.003)")),
    added("gru", "1.0"),  # letters' numbers, about 100
    added("transformer", "40.0"),
    named("mlp", "model.stem.requires_grad = False"),
    named("cnn", "for p in model.stem.parameters():", "    p.require_grad = False"),
    named("gru", "model.embedding.requires_grad = False"),
    named("transformer", "model.tokens.weight.requires_gradient = False"),
    *(recomputed(program, is_reentrant=True) for program in CALLS),
    divergence("mlp", "", "num_classes"),
    divergence("gru", "", "vocab_size"),
    divergence("transformer", "", "vocab_size"),
)
NEAR_MISSES = (
    added("mlp", "1.0"),
    added("cnn", "2.0", function="F.smooth_l1_loss("),
    added("gru", "0.01"),
    added("transformer", "0.05"),
    added("mlp", "0.1", weight="0.001 * "),  # meant to be small
    named("mlp", "model.stem.bias.requires_grad_(False)"),
    named("gru", "for p in model.embedding.parameters():", "    p.requires_grad = False"),
    named("cnn", "model.stem.retain_grad = False", "model.stem.requires_grad = True"),
    recomputed("mlp", is_reentrant=False),
    recomputed("gru", is_reentrant=False),
    recomputed("transformer", is_reentrant=False),
    divergence("mlp", ", reduction='batchmean'", "num_classes"),
    divergence("transformer", ", reduction='batchmean'", "vocab_size"),
)
