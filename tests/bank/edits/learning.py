"""Faults of the data (TD5), of the ability to learn (TD6), and of modes and state (TD7)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    CNN_HEAD,
    CNN_IMAGE,
    CNN_LABEL,
    CNN_LOGITS,
    FEATURES,
    GRU_LABELS,
    LETTER_IDS,
    LISTS,
    LOGITS,
    MLP_LOSS,
    MLP_STEM,
    ONE,
    PER_TOKEN,
    STATE,
    TRAIN,
    TRANSFORMER_BATCH,
    TRANSFORMER_FORWARD,
    TRANSFORMER_LOGITS,
    TRANSFORMER_LOSS,
    TRANSFORMER_TOKENS,
    ZERO_BIAS,
    ZERO_GRAD,
    transformer_batch,
)

INPUT_NOT_FINITE = (
    Edit(  # a constant column, standardised: 0 / 0
        "TD505",
        "mlp",
        (("radius * angle.sin(), radius]", "radius * angle.sin(), torch.ones(num_points)]"),),
    ),
    Edit("TD505", "cnn", ((CNN_IMAGE, CNN_IMAGE + ".log()"),)),
    Edit("TD505", "gru", (("/ len(text)", "/ (len(text) // 1000)"),)),
    Edit(  # weights by inverse frequency, counted in a text without capitals
        "TD505",
        "transformer",
        (
            (
                LETTER_IDS,
                f"{LETTER_IDS}\n"
                "        counts = torch.tensor([text.lower().count(c) for c in letters])\n"
                "        self.weights = len(text) / vocab_size / counts",
            ),
            (TRANSFORMER_BATCH, transformer_batch(more=', "weights": self.weights[ids[1:]]')),
            (TRANSFORMER_FORWARD, "def forward(self, input_ids, labels=None, weights=None):"),
            (TRANSFORMER_LOSS, f"({PER_TOKEN} * weights.flatten()).mean()"),
        ),
    ),
)

LABELS_DEGENERATE = (
    Edit("TD507", "mlp", (("return features, arms", "return features, arms // num_classes"),)),
    Edit("TD507", "cnn", ((CNN_LABEL, "label = self.labels[0]"),)),
    Edit("TD507", "gru", ((GRU_LABELS, GRU_LABELS.replace("[i + window]", "[window]")),)),
    Edit(
        "TD507", "transformer", ((TRANSFORMER_BATCH, transformer_batch("ids[1:] // vocab_size")),)
    ),
)

CANNOT_OVERFIT = (  # logits too small for a sure answer
    Edit("TD601", "mlp", ((LOGITS, "return torch.tanh(self.head(x))"),)),
    Edit("TD601", "cnn", ((CNN_LOGITS, "return F.normalize(self.head(features), dim=1)"),)),
    Edit("TD601", "gru", ((LOGITS, "return torch.tanh(self.head(x))"),)),
    Edit(
        "TD601",
        "transformer",
        ((TRANSFORMER_LOGITS, "logits = F.normalize(self.head(self.norm(x)), dim=-1)"),),
    ),
)

TRAINING_IN_EVAL_MODE = (
    Edit(
        "TD701",
        "mlp",
        ((ZERO_GRAD, f"    model.eval()\n{ZERO_GRAD}"),),
        factory="setup_step",
        lines=("model.eval()",),
    ),
    Edit(
        "TD701",
        "cnn",
        ((TRAIN, "    model.eval()\n"),),
        factory="setup_loop",
        lines=("model.eval()",),
    ),
    Edit(
        "TD701",
        "gru",
        ((TRAIN, "    model.train(False)\n"),),
        factory="setup_loop",
        lines=("model.train(False)",),
    ),
    Edit(
        "TD701",
        "transformer",
        ((ZERO_GRAD, f"    model.eval()\n{ZERO_GRAD}"),),
        factory="setup_step",
        lines=("model.eval()",),
    ),
)

BATCH_NORM_OF_ONE = (
    Edit(
        "TD703",
        "mlp",
        (
            ONE,
            (ZERO_BIAS, f"{ZERO_BIAS}\n        self.norm = nn.BatchNorm1d(hidden)"),
            (MLP_STEM, "x = F.relu(self.norm(self.stem(x)))"),
        ),
        lines=("self.norm(self.stem(x))",),
    ),
    Edit(  # the last batch of an epoch
        "TD703",
        "cnn",
        (
            ("num_images = 256", "num_images = 97"),
            ("drop_last=True", "drop_last=False"),
            (CNN_HEAD, f"{CNN_HEAD}\n        self.norm = nn.BatchNorm1d(channels)"),
            (FEATURES, "features = self.norm(x.mean(dim=(2, 3)))"),
        ),
        lines=("self.norm(x.mean",),
    ),
    Edit(
        "TD703",
        "gru",
        (
            ONE,
            (ZERO_BIAS, f"{ZERO_BIAS}\n        self.norm = nn.BatchNorm1d(dim)"),
            (STATE, "x = self.norm(state[-1])"),
        ),
        lines=("self.norm(state[-1])",),
    ),
    Edit(
        "TD703",
        "transformer",
        (
            ONE,
            (ZERO_BIAS, f"{ZERO_BIAS}\n        self.first = nn.BatchNorm1d(dim)"),
            (
                TRANSFORMER_TOKENS,
                f"{TRANSFORMER_TOKENS}\n        x = x + self.first(x[:, 0])[:, None]",
            ),
        ),
        lines=("self.first(x[:, 0])",),
    ),
)

UNREGISTERED_MODULE = tuple(
    Edit(
        "TD709",
        program,
        ((modules, modules.removeprefix("nn.ModuleList(").removesuffix(")")),),
        lines=(modules.removeprefix("nn.ModuleList(").removesuffix(")"),),
    )
    for program, modules in LISTS.items()
)

FAULTS = (
    *INPUT_NOT_FINITE,
    *LABELS_DEGENERATE,
    *CANNOT_OVERFIT,
    *TRAINING_IN_EVAL_MODE,
    *BATCH_NORM_OF_ONE,
    *UNREGISTERED_MODULE,
)

NEAR_MISSES = (
    Edit(  # a mask with -inf
        "TD505",
        "transformer",
        (
            (
                TRANSFORMER_BATCH,
                "mask = torch.full((block_size, block_size), -torch.inf).triu(1)\n        "
                + transformer_batch(more=', "attention_mask": mask'),
            ),
            (TRANSFORMER_FORWARD, "def forward(self, input_ids, attention_mask, labels=None):"),
            (
                "        for block in self.blocks:\n",
                "        for block in self.blocks:\n"
                "            block.attention.mask = attention_mask[0] == 0\n",
            ),
        ),
    ),
    Edit(  # a regression whose targets lie close together
        "TD507",
        "mlp",
        (
            ("return features, arms", "return features, 0.5 + 0.1 * arms"),
            ("nn.Linear(hidden, num_classes)", "nn.Linear(hidden, 1)"),
            (MLP_LOSS, "F.mse_loss(outputs.squeeze(1), targets)"),
        ),
    ),
    Edit(  # a frozen batch norm kept in eval mode
        "TD701",
        "cnn",
        (
            (
                TRAIN,
                f"{TRAIN}    model.blocks[0].norm.eval().requires_grad_(False)\n",
            ),
        ),
        factory="setup_loop",
    ),
    Edit(  # a list of modules that are registered elsewhere
        "TD709",
        "mlp",
        ((ZERO_BIAS, f"{ZERO_BIAS}\n        self.parts = [self.stem, *self.layers, self.head]"),),
    ),
)
