"""Is what a language model is to predict hidden from it?

## What it measures
By how many positions the targets of the cross entropy are ahead of the tokens that the model gets:
one in a language model. And how far the logits of the first half of the rows move when the tokens
of the second half are changed.

## Why it matters
Where logits see the token that they are to predict, the loss falls to zero and nothing is learned
about language: at generation that token is not there. Targets that are shifted twice teach the
token after the next; targets that are not shifted teach a copy of the input.

## Known limits
Only a cross entropy over one target a token, on inputs of token ids, is looked at, and only targets
that are nearly all the same number of positions ahead. A model that sees everything and is to
predict its own input, such as an autoencoder, is left alone.

## References
Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from traindoctor.experiments import ChangedBatch, Experiment
from traindoctor.probing import Ask, Evidence, Finding, NoOptions, Probe, Remedy, Rule, Severity
from traindoctor.probing.wording import figure, first_location
from traindoctor.trace import Trace
from traindoctor_probes._changed import losses_of
from traindoctor_probes._raised import made_first

SURE, OTHER = 0.95, 0.8  # share of the targets that are so many positions ahead; of the others
HIDDEN = 1e-4  # of the logits' spread: less is rounding
SEEN = 0.02

VISIBLE = Rule(
    code="TD112",
    name="targets-visible",
    severity=Severity.ERROR,
    title="{title}",
    what="A model that is to predict the next token sees it, or is to predict another one.",
    why="The loss falls, and what is learned is of no use where the next token is not known.",
    known_limits="Judges a cross entropy with one target a token, on token ids.",
    remedies=(
        Remedy(
            "Mask the positions that come later",
            recommended=True,
            before="F.scaled_dot_product_attention(q, k, v)",
            after="F.scaled_dot_product_attention(q, k, v, is_causal=True)",
        ),
    ),
)
TWICE = Remedy(
    "Shift the labels in one place alone",
    recommended=True,
    pros="The causal models of transformers shift them inside.",
    before='{"input_ids": ids[:-1], "labels": ids[1:]}',
    after='{"input_ids": ids, "labels": ids}',
)
NEVER = Remedy(
    "Shift logits and targets by one position",
    recommended=True,
    before="F.cross_entropy(logits.flatten(0, 1), ids.flatten())",
    after="F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())",
)


def examine(ask: Ask, options: NoOptions) -> Iterator[Finding]:
    """Judge by how many positions the targets are ahead, and what the logits see."""
    run = ask(ChangedBatch())
    sight = run.facts["sight"]
    offset = ahead(sight) if sight else None
    if offset is None or sight["seen_later"] is None:
        return
    losses_of(run)
    seen = sight["seen_later"]
    sees_own = (sight["seen_own"] or 0.0) > SEEN
    if offset == 1 and seen > SEEN:
        yield finding(
            ask,
            run,
            sight,
            "The logits at each position see the tokens that come later",
            f"The targets are the next token. Other tokens in the second half of the rows move "
            f"the logits of the first half by {figure(seen)} of their spread.",
            VISIBLE.remedies[0],
        )
    elif offset == 2 and seen < HIDDEN and sees_own:
        yield finding(
            ask,
            run,
            sight,
            "The targets are two tokens ahead: they are shifted twice",
            f"{sight['offsets']['2']:.0%} of the targets are the token after the next.",
            TWICE,
        )
    elif offset == 0 and seen < HIDDEN and sees_own:
        yield finding(
            ask,
            run,
            sight,
            "Each target is the token at its own position: nothing is shifted",
            f"{sight['offsets']['0']:.0%} of the targets are the very token that the model gets at "
            "that position, and it sees nothing of the later ones.",
            NEVER,
        )


def ahead(sight: dict[str, Any]) -> int | None:
    """Return by how many positions the targets are ahead, where that is beyond doubt."""
    shares = {int(offset): share for offset, share in sight["offsets"].items()}
    best = max(shares, key=lambda offset: shares[offset])
    others = [share for offset, share in shares.items() if offset != best]
    return best if shares[best] >= SURE and max(others) <= OTHER else None


def finding(
    ask: Ask, run: Trace, sight: dict[str, Any], title: str, message: str, remedy: Remedy
) -> Finding:
    """Return the finding, at the line that computes the loss, else where the labels are made."""
    made = made_first(ask, run.facts["label_keys"])
    offsets = sight["offsets"]
    return VISIBLE.finding(
        message,
        mechanism="The next token can be predicted at training because it is there, or the one "
        "that is predicted is not the next. Generation has only what came before.",
        location=first_location(
            [
                run.facts["loss_place"],
                run.setup.forward_place,
                made,
                run.setup.loader_place,
                run.setup.factory,
            ]
        ),
        evidence=[
            Evidence("share of targets that are the same token", offsets["0"], "low"),
            Evidence("share of targets that are the next token", offsets["1"], 1.0),
            Evidence("share of targets that are the one after", offsets["2"], "low"),
            Evidence(
                "change of the logits under other later tokens, of their spread",
                sight["seen_later"],
                0.0,
            ),
            Evidence("positions compared", sight["num_positions"]),
        ],
        remedies=(remedy,),
        title=title,
    )


def experiments(options: NoOptions) -> tuple[Experiment, ...]:
    """Return what it asks for."""
    return (ChangedBatch(),)


probe = Probe(
    name="token-targets",
    doc=__doc__,
    rules=(VISIBLE,),
    examine=examine,
    experiments=experiments,
)
