"""Does padding change the loss?

## What it measures
The loss of one batch whose padding is known, by a mask or by the model's own padding token: as it
is; with other labels at the padding; without labels there; and then with other tokens at the
padding, and with more of it. None of that should matter: there is nothing at those positions.
Of a mask that keeps one and the same token, and leaves out all others: the loss with other tokens
where it says that none are, labels as they are.

## Why it matters
Labels at padding that count make the model learn to predict padding, which is easy: the loss looks
good, and the tokens that matter have a small part in it. Padding that is attended to makes the
output of a sample hang on how long the others of its batch are.

## Known limits
Only the first batch is looked at. Without a mask, and without a padding token in the model's
configuration or its embedding, padding is not known. A library's model that is given the mask is
left alone, unless that is the wrong way round: some, such as convolutional ones, see padding by
design. Which way round a mask is to be is known where a library's model is called with the batch;
elsewhere, a mask is the wrong way round only if what it leaves out does not change the loss. A
watched run is told nothing but a mask that keeps the padding of the model's own embedding, labels
that are blanks of a CTC loss, and, where a cross entropy has a class for each row of an embedding,
labels whose rows all end in its `padding_idx`, which stands nowhere else in them.

## References
`ignore_index` of `torch.nn.CrossEntropyLoss`; "Attention mask" in the glossary of transformers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from traindoctor.errors import ExperimentFailed
from traindoctor.experiments import ChangedBatch, Experiment, OneStep, ReadSource, ShortRun
from traindoctor.experiments.changes import (
    PAD_CHANGED,
    PAD_LABELS_CHANGED,
    PAD_LONGER,
    PAD_UNLABELLED,
    PLAIN,
)
from traindoctor.probing import (
    Ask,
    Confidence,
    Evidence,
    Finding,
    NoOptions,
    Probe,
    Remedy,
    Rule,
    Severity,
)
from traindoctor.probing.wording import counted, figure, first_location
from traindoctor.trace import ModuleRow, Trace
from traindoctor_probes._changed import differs, losses_of
from traindoctor_probes._inverted_masks import kept_padding, written_at
from traindoctor_probes._loaders import place_of, trained_on
from traindoctor_probes._padded_labels import COUNTED, Counted, counted_blanks, counted_padding
from traindoctor_probes._raised import made_first
from traindoctor_probes.padding import DROPS, KEEPS

CHANGES = 1e-4  # of the loss: less is rounding

IN_LOSS = Rule(
    code="TD111",
    name="padding-in-loss",
    severity=Severity.ERROR,
    title="{share:.0%} of the labels that the loss counts stand at padding",
    what="Labels at padded positions count in the loss.",
    why="The model learns to predict padding, which is easy, and the mean hides the rest.",
    known_limits="Needs a mask, or a padding token that the model knows.",
    remedies=(
        Remedy(
            "Set the labels at padding to the ignore index",
            recommended=True,
            before='labels = batch["input_ids"].clone()',
            after='labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)',
        ),
        Remedy(
            "Name the padding label to the loss",
            cons="Wrong where the same label also stands for something real.",
            before="F.cross_entropy(logits.transpose(1, 2), labels)",
            after="F.cross_entropy(logits.transpose(1, 2), labels, ignore_index=pad_id)",
        ),
    ),
)
ATTENDED = Rule(
    code="TD015",
    name="padding-attended",
    severity=Severity.ERROR,
    title="{effect}: the mask is {how}",
    what="What stands at padded positions changes what the model makes of the others.",
    why="A sample's output hangs on how much padding its batch happens to need.",
    known_limits="A library's model that is given the mask is left alone, unless the mask is the "
    "wrong way round.",
    remedies=(
        Remedy(
            "Pass the mask to the model, and use it wherever positions are mixed",
            recommended=True,
            before="outputs = model(input_ids)",
            after="outputs = model(input_ids, attention_mask=attention_mask)",
        ),
        Remedy(
            "Turn the mask the right way round",
            pros="transformers want 1 for tokens to keep; torch's key_padding_mask wants True for "
            "those to leave out.",
            after="mixed, _ = self.attention(x, x, x, key_padding_mask=attention_mask == 0)",
        ),
    ),
    explains=("TD207", "TD512"),
)
INVERTED, NOT_GIVEN, UNUSED = "the wrong way round", "not given", "not used"


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Look for padding among the labels of a loss, then change what stands there."""
    blanks = counted_blanks(ask)
    if blanks is not None:
        yield counting(ask, blanks, "the blank, which stands for no label")
        return
    try:
        run = ask(ChangedBatch())
    except ExperimentFailed:  # a watched run is left as it is; its batches may tell
        kept, counted_there = kept_padding(ask), counted_padding(ask)
        if counted_there is not None:
            yield counting(ask, counted_there, "the padding of the model's embedding")
        if kept is not None:
            yield keeping(ask, *kept)
        if kept is None and counted_there is None:
            raise
        return
    padding = run.facts["padding"]
    if padding is None:
        return
    losses = losses_of(run)
    counts = differs(losses, PLAIN, PAD_LABELS_CHANGED, CHANGES)
    is_one = padding["label"] is not None and not padding["is_inverted"]
    if counts and is_one and padding["label_share"] >= COUNTED:
        yield in_loss(ask, run, losses, padding)
    how = attended_how(ask, losses, padding)
    if how:
        yield attended(ask, run, losses, padding, how)


def attended_how(ask: Ask, losses: dict[str, float], padding: dict[str, Any]) -> str:
    """Say what is wrong with the mask; nothing where padding does not matter, or may."""
    changed = differs(losses, PAD_UNLABELLED, PAD_CHANGED, CHANGES)
    longer = differs(losses, PAD_UNLABELLED, PAD_LONGER, CHANGES)
    is_inverted = padding["is_inverted"]
    if not is_inverted and (padding["value"] is None or not changed or longer is False):
        return ""
    step = ask(OneStep())
    model = next((row for row in step.modules if row.path == ""), ModuleRow(path=""))
    if is_inverted:
        # Whoever takes the batch apart may turn the mask before a model gets it.
        is_by_hand = model.is_users or step.setup.has_train_step or step.setup.has_train_loop
        is_known = not is_by_hand and padding["mask"].rpartition(".")[2] in KEEPS
        return INVERTED if changed is False or (changed and is_known) else ""
    zeros = (row.attributes.get("padding_idx") for row in step.modules)
    if longer is None and padding["value"] in zeros:
        return ""  # a row of zeros may add nothing, where other tokens do
    masks = {*KEEPS, *DROPS}
    is_given = bool(masks & set(model.keywords)) and bool(padding["mask"])
    if not is_given and masks & set(step.setup.forward_parameters):
        return NOT_GIVEN
    return UNUSED if padding["mask"] and model.is_users else ""


def counting(ask: Ask, labels: Counted, what: str) -> Finding:
    """Return the finding of padding among what a loss function was seen to count."""
    run = ask(ShortRun())
    loaders = [place_of(run, loader) for loader in trained_on(run)]
    return IN_LOSS.finding(
        f"{labels.share:.0%} of the labels that `{labels.row.function}` counts are {labels.label}, "
        f"{what}.",
        mechanism="A cross entropy counts every label but the ignore index, -100 unless said "
        "otherwise, and a CTC loss as many of each row as it is told.",
        location=first_location([labels.place, *loaders, labels.row.place]),
        evidence=[
            Evidence("share of the counted labels that are padding", labels.share, 0.0),
            Evidence("label at padding", labels.label, -100),
        ],
        remedies=[replace(IN_LOSS.remedies[0], recommended=True)],
        share=labels.share,
    )


def keeping(ask: Ask, mask: str, shares: Sequence[float]) -> Finding:
    """Return the finding of a mask whose ones stand where the padding is, in each batch seen."""
    run = ask(ShortRun())
    loaders = [place_of(run, loader) for loader in trained_on(run)]
    share = sum(shares) / len(shares)
    return ATTENDED.finding(
        f"In each of {counted(len(shares), 'batch')} '{mask}' is 1 at as many positions as hold "
        f"the padding of the model's embedding at the rows' ends, and leaves out the others "
        f"({share:.0%}).",
        mechanism="The model attends to the padding, and not to the tokens.",
        location=first_location([written_at(ask(ReadSource()).source, mask), *loaders]),
        evidence=[
            Evidence("batches whose mask keeps the padding", len(shares), 0),
            Evidence("share of positions that the mask leaves out", share, round(1 - share, 4)),
        ],
        remedies=[replace(ATTENDED.remedies[1], recommended=True)],
        effect="Padding is kept and the tokens are left out",
        how=INVERTED,
    )


def in_loss(ask: Ask, run: Trace, losses: dict[str, float], padding: dict[str, Any]) -> Finding:
    """Return the finding of labels at padding that count."""
    share, label = padding["label_share"], padding["label"]
    is_token = label == padding["value"]
    plain, other = losses[PLAIN], losses[PAD_LABELS_CHANGED]
    return IN_LOSS.finding(
        f"{padding['share']:.0%} of the positions of the first batch are padding, and all have "
        f"the label {label}{', the padding token' if is_token else ''}. With another label "
        f"there the loss is {figure(other)} in place of {figure(plain)}; "
        f"of the real tokens alone it is {figure(losses.get(PAD_UNLABELLED))}.",
        mechanism="Only labels equal to the ignore index, -100 unless said otherwise, are left out "
        "of a cross entropy. A mask that the model gets does not reach the loss.",
        location=first_location(
            [made_first(ask, run.facts["label_keys"]), run.setup.loader_place, run.setup.factory]
        ),
        evidence=[
            Evidence("share of the counted labels that stand at padding", share, 0.0),
            Evidence("loss", plain),
            Evidence("loss with other labels at padding", other, plain),
            Evidence("loss of the real tokens alone", losses.get(PAD_UNLABELLED)),
            Evidence("label at padding", label, -100),
        ],
        share=share,
    )


def attended(
    ask: Ask, run: Trace, losses: dict[str, float], padding: dict[str, Any], how: str
) -> Finding:
    """Return the finding of padding that changes what is made of the tokens."""
    plain, other = losses[PAD_UNLABELLED], losses[PAD_CHANGED]
    mask, share, more = padding["mask"], padding["share"], losses.get(PAD_LONGER)
    setup, is_inverted = run.setup, how == INVERTED
    if is_inverted:
        effect = "Padding is kept and the tokens are left out"
        message = (
            f"'{mask}' keeps positions that all hold one and the same token, and leaves out the "
            f"others ({share:.0%}). With other tokens at those the loss is {figure(other)}; "
            f"as it is, {figure(plain)}."
        )
        evidence = [
            Evidence("share of positions that the mask leaves out", share),
            Evidence("loss", plain),
            Evidence("loss with other tokens at those", other),
        ]
    else:
        effect = f"Padding changes the loss of the real tokens by {abs(other - plain):.2g}"
        message = (
            f"The loss of the real tokens is {figure(plain)}; with other tokens at the padding "
            f"({share:.0%} of the positions) it is {figure(other)}"
            + (f", and with more padding {figure(more)}." if more is not None else ".")
        )
        evidence = [
            Evidence("loss of the real tokens", plain),
            Evidence("with other tokens at padding", other, plain),
            Evidence("with more padding", more, plain),
            Evidence("share of padding", share),
        ]
    origin = made_first(ask, [mask if is_inverted else padding["tokens"]])
    places = [origin, setup.forward_place] if is_inverted else [setup.forward_place, origin]
    return ATTENDED.finding(
        message,
        confidence=Confidence.LIKELY if how == UNUSED else Confidence.CERTAIN,
        mechanism="The model attends to the padding, and not to the tokens."
        if is_inverted
        else "The model mixes padded positions into the others: by attention, a mean over "
        "positions, or a state that runs on through them.",
        location=first_location([*places, setup.loader_place, setup.factory]),
        evidence=evidence,
        remedies=[replace(ATTENDED.remedies[1], recommended=True)] if is_inverted else None,
        effect=effect,
        how=how,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ChangedBatch(),)


probe = Probe(
    name="padding-effect",
    doc=__doc__,
    rules=(IN_LOSS, ATTENDED),
    examine=examine,
    experiments=experiments,
)
