"""Faults of what a model's state is, and of what becomes of it (TD213, TD602, TD707 to TD718)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    CNN_HEAD,
    LOGITS,
    MLP_STEM,
    MODELS,
    STATE,
    TRAIN,
    TRANSFORMER_LOGITS,
    TRANSFORMER_TOKENS,
)

CLASSES = {"mlp": "MLP", "cnn": "CNN", "gru": "GRU", "transformer": "Transformer"}
LOAD = "model.load_state_dict(state, strict=False)"


def loaded(rule: str, program: str, names: str, *more: str, line: str = LOAD) -> Edit:
    """Load the weights of another model under some names, and go on."""
    state = f"{CLASSES[program]}().state_dict()"
    lines = (f"state = {{{names}: v for k, v in {state}.items()}}", LOAD, *more)
    added = MODELS[program] + "".join(f"    {line}\n" for line in lines)
    return Edit(rule, program, ((MODELS[program], added),), lines=(line,))


TOKENS = "self.tokens = nn.Embedding(vocab_size, dim)"
GRU_HEAD = "self.head = nn.Linear(dim, vocab_size)"


def tied(program: str, table: str, *lines: str, culprit: str = "") -> Edit:
    """Tie the head to a table that starts small, by some lines behind the head."""
    drawn = f"nn.init.normal_(self.{table}.weight, std=0.1)"
    added = GRU_HEAD + "".join(f"\n        {line}" for line in (*lines, drawn))
    return Edit("TD213", program, ((GRU_HEAD, added),), lines=(culprit,) if culprit else ())


NEW_HEAD = "self.head = nn.Linear(dim, vocab_size, bias=True)"
DATA = "self.head.weight.data = self.embedding.weight.data"

FORWARD = {
    "mlp": "    loss = loss_fn(model(inputs), targets)\n",
    "cnn": '    outputs = model(batch["pixel_values"])\n    loss = loss_fn(outputs, batch)\n',
    "gru": '    outputs = model(batch["input_ids"], batch["place"])\n'
    '    loss = loss_fn(outputs, batch["labels"])\n',
    "transformer": '    loss = model(**batch)["loss"]\n',
}


def seeded(program: str, value: str, factory: str) -> Edit:
    """Seed torch in every step of the user's own."""
    seed = f"torch.manual_seed({value})"
    replaced = ((FORWARD[program], f"    {seed}\n{FORWARD[program]}"),)
    return Edit("TD707", program, replaced, factory=factory, lines=(seed,))


CAST = 'with torch.autocast("cpu", torch.{}):'


def cast(program: str, dtype: str, divided: str = " / 1000") -> Edit:
    """Compute the loss of a program's own step in half precision."""
    inside = FORWARD[program].rstrip().replace("\n", "\n    ")
    new = f"    {CAST.format(dtype)}\n    {inside}{divided}\n"
    replaced = ((FORWARD[program], new),)
    return Edit("TD711", program, replaced, factory="setup_step", lines=(CAST.format(dtype),))


HALF = Edit(  # weights and their optimizer in float16
    "TD711",
    "mlp",
    (("return features, arms", "return features.half(), arms"), ("= MLP()", "= MLP().half()")),
    lines=("optimizer = torch.optim.AdamW",),
)

MLP_HEAD = "self.head = nn.Linear(hidden, num_classes)"


def widened(program: str, head: str, width: int) -> Edit:
    """Give the head another number of classes."""
    new = head.replace("num_classes", str(width))
    return Edit("TD717", program, ((head, new),), lines=(new,))


MLP_STEM_LAYER, GRU_PLACE_LAYER = (
    "self.stem = nn.Linear(3, hidden)",
    "self.place = nn.Linear(1, dim)",
)


def keeping(program: str, layer: str, kept: str, old: str, new: str) -> Edit:
    """Keep something in the constructor, and use it."""
    replaced = ((layer, f"{layer}\n        {kept}"), (old, new))
    return Edit("TD708", program, replaced, lines=(kept,))


NORMED = (
    (MLP_STEM_LAYER, f"{MLP_STEM_LAYER}\n        self.norm = nn.BatchNorm1d(hidden)"),
    (MLP_STEM, "x = F.relu(self.norm(self.stem(x)))"),
)


def resting(program: str, what: str, *more: tuple[str, str], after: str = TRAIN) -> Edit:
    """Keep batch norm in eval mode in the user's own loop."""
    line = f"{what}.eval()"
    replaced = (*more, (after, f"{after}    {line}\n"))
    return Edit("TD719", program, replaced, factory="setup_loop", lines=(line,))


RUNNING = (
    "x = state[-1]\n        if self.training:\n"
    "            self.mean = 0.5 * self.mean + 0.5 * x.detach().mean(0)\n        x = x - self.mean"
)

DRAW = "model.apply(lambda m: m.reset_parameters() if hasattr(m, 'reset_parameters') else None)"

TRAIN_MODE_ONLY = (
    Edit(
        "TD602",
        "mlp",
        ((LOGITS, "return self.head(x) if self.training else self.head(-x)"),),
    ),
    Edit(
        "TD602",
        "gru",
        ((LOGITS, "return self.head(x) if self.training else self.head(-x)"),),
    ),
    Edit(
        "TD602",
        "transformer",
        (
            (
                TRANSFORMER_LOGITS,
                "logits = self.head(self.norm(x) if self.training else -self.norm(x))",
            ),
        ),
    ),
    Edit("TD602", "cnn", (("nn.BatchNorm2d(channels)", "nn.BatchNorm2d(channels, momentum=0)"),)),
)

FAULTS = (
    *TRAIN_MODE_ONLY,
    resting("mlp", "model.norm", *NORMED),
    resting("cnn", "model.blocks"),
    resting(
        "gru",
        "model.norm",
        (GRU_PLACE_LAYER, f"{GRU_PLACE_LAYER}\n        self.norm = nn.BatchNorm1d(dim)"),
        (STATE, "x = self.norm(state[-1])"),
    ),
    keeping(
        "mlp",
        MLP_STEM_LAYER,
        "self.shift = torch.randn(hidden)",
        MLP_STEM,
        "x = F.relu(self.stem(x) + self.shift)",
    ),
    keeping("gru", GRU_PLACE_LAYER, "self.mean = torch.zeros(dim)", STATE, RUNNING),
    keeping(
        "transformer",
        TOKENS,
        "self.shift = torch.randn(dim)",
        TRANSFORMER_TOKENS,
        f"{TRANSFORMER_TOKENS} + self.shift",
    ),
    widened("mlp", MLP_HEAD, 500),
    widened("cnn", CNN_HEAD, 40),
    *(cast(program, "float16") for program in FORWARD),
    HALF,
    seeded("mlp", "0", "setup_step"),
    seeded("transformer", "7", "setup_loop"),
    seeded("gru", "42", "setup_loop"),
    tied(
        "transformer", "tokens", "self.head.weight = self.tokens.weight", NEW_HEAD, culprit=NEW_HEAD
    ),
    tied("gru", "embedding", DATA, culprit=DATA),
    loaded("TD715", "mlp", "f'module.{k}'"),
    loaded("TD715", "cnn", "f'_orig_mod.{k}'"),
    loaded("TD715", "transformer", "k.upper()"),
    loaded("TD718", "mlp", "k", DRAW, line=DRAW),
    loaded("TD718", "gru", "k", DRAW, line=DRAW),
    loaded("TD718", "cnn", "k", DRAW, line=DRAW),
    loaded("TD718", "transformer", "k", DRAW, line=DRAW),
)
NEAR_MISSES = (
    keeping(
        "mlp",
        MLP_STEM_LAYER,
        'self.register_buffer("shift", torch.randn(hidden))',
        MLP_STEM,
        "x = F.relu(self.stem(x) + self.shift)",
    ),
    keeping(
        "gru", GRU_PLACE_LAYER, 'self.register_buffer("mean", torch.zeros(dim))', STATE, RUNNING
    ),
    widened("mlp", MLP_HEAD, 8),
    *(cast(program, "bfloat16", "") for program in FORWARD),
    seeded("mlp", "int(torch.randint(1_000_000, ()))", "setup_step"),
    tied("transformer", "tokens", "self.head.weight = self.tokens.weight"),
    tied("gru", "embedding", "self.head.weight = self.embedding.weight"),
    loaded("TD715", "cnn", "k if 'head' not in k else f'old.{k}'"),
    loaded("TD718", "mlp", "k", "model.head.reset_parameters()"),
)
