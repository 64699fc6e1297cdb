from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from tests.report.sample import OVERFIT, SWALLOWED, blocked
from tests.report.strategies import reports

from traindoctor.probing.finding import Table
from traindoctor.report.record import ProbeRecord, TargetRecord
from traindoctor.report.renderers import ENDINGS, RENDERERS, render
from traindoctor.report.renderers.look import Look

LOOKS = {
    "plain": Look(),
    "verbose": Look(verbosity=1),
    "quiet": Look(verbosity=-1),
    "ascii": Look(unicode=False),
    "color": Look(color=True),
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_blocked_run_looks_like_its_golden(name, golden):
    golden(f"check-{name}.txt", render(blocked(), "text", LOOKS[name]))


@pytest.mark.parametrize("name", ["plain", "verbose", "ascii"])
@pytest.mark.parametrize("command", ["overfit", "gradflow"])
def test_the_views_of_single_commands_look_like_their_goldens(command, name, golden):
    report = blocked(f"traindoctor {command} train.py:setup")

    golden(f"{command}-{name}.txt", render(report, "text", LOOKS[name]))


@pytest.mark.parametrize(
    ("learned", "says"),
    [(True, "✓ Learned"), (False, "✗ Not learned"), (None, "– Could not judge")],
)
def test_overfit_says_what_became_of_it(learned, says):
    report = blocked(
        "traindoctor overfit t", measurements={"overfit": OVERFIT | {"learned": learned}}
    )

    assert says in render(report, "text", Look())


def test_a_healthy_run_is_one_calm_line():
    report = blocked(
        verdict="healthy",
        findings=(),
        suppressed=(),
        probes=(probe("flow", "passed"),),
    )

    text = render(report, "text", Look())

    assert text.splitlines()[-1] == "Healthy: 1 probe found nothing wrong in 6 steps."
    assert len(text.splitlines()) == 5


def test_a_target_that_could_not_be_loaded_is_told_once():
    unloaded = TargetRecord(reference="t", kind="factory", model=None, data={}, distributed={})
    probes = tuple(probe(name, "skipped", "there is no\nsuch file") for name in ("a", "b"))
    report = blocked(verdict="inconclusive", findings=(), target=unloaded, probes=probes)

    assert render(report, "text", Look()).count("there is no such file") == 1


def test_a_selection_that_finds_nothing_does_not_claim_health():
    report = blocked(verdict="inconclusive", findings=(), probes=(probe("flow", "passed"),))

    line = render(report, "text", Look(verbosity=-1))

    assert line == "Nothing found by 1 probe; the others did not run.\n"


def test_probes_that_could_not_judge_are_grouped_by_reason():
    probes = tuple(probe(f"p{number}", "skipped", "no loss") for number in range(9))
    report = blocked(verdict="inconclusive", findings=(), probes=probes)

    assert "– not examined: 9 probes – no loss\n" in render(report, "text", Look())
    assert "p8" in render(report, "text", Look(verbosity=1))


TRACEBACK = "\n".join(
    ["  a.py:1 in f", "    g()", "  a.py:2 in g", "    1 / 0", "ZeroDivisionError: no"]
)


def test_of_a_long_traceback_its_end_is_shown():
    quoting = replace(SWALLOWED, quote=TRACEBACK, explains=())
    text = render(blocked(findings=(quoting,)), "text", Look())

    assert "    …\n      a.py:2 in g\n        1 / 0\n    ZeroDivisionError: no\n" in text
    assert "a.py:1" not in text


@pytest.mark.parametrize(
    ("width", "says"), [(80, "\n      save  head    safe"), (20, "save: module")]
)
def test_a_table_that_does_not_fit_is_told_row_by_row(width, says):
    table = Table("Hooks", ("hook", "module", "status"), (("save", "head", "safe"),))
    report = blocked(findings=(replace(SWALLOWED, explains=(), tables=(table,)),))

    assert says in render(report, "text", Look(width=width))


def test_user_text_is_no_markup_and_moves_no_cursor():
    report = blocked(findings=(hostile("[red]x[/red] \x1b[2J\x07 \u202e \ud800 :smile:"),))

    text = render(report, "text", Look(color=True))

    assert "[red]x[/red] \\x1b[2J\\x07 \\u202e \\ud800 :smile:" in text


@settings(max_examples=60)
@given(reports, st.sampled_from(list(LOOKS)), st.sampled_from([40, 80, 120]))
def test_any_report_can_be_shown_within_its_width(report, name, width):
    look = LOOKS[name]
    text = render(report, "text", Look(width=width, **properties(look)))

    shown = re.sub("\x1b\\[[0-9;]*m", "", text) if look.color else text
    text.encode("ascii" if not look.unicode else "utf-8")
    assert not set(map(ord, shown)) & {*range(10), *range(11, 32), 127}
    if look.unicode:  # in ASCII one character may become several
        assert max(map(cell_len, shown.split("\n"))) <= width


def test_every_ending_has_a_renderer():
    assert set(ENDINGS.values()) <= set(RENDERERS)


def properties(look: Look) -> dict[str, object]:
    return {"color": look.color, "unicode": look.unicode, "verbosity": look.verbosity}


def probe(name: str, status: str, reason: str = "") -> ProbeRecord:
    return ProbeRecord(
        name=name, status=status, reason=reason, seconds=0.1, rules=("TD201",), findings=()
    )


def hostile(text: str):
    return replace(SWALLOWED, title=text, explains=())


RAISED = "forward raised TypeError at net.py:8: Net.forward() takes 2 arguments but 3 were given"


def unjudged(**more):
    needs = [f"0 of the {number} losses needed were observed: {RAISED}" for number in (1, 5)]
    probes = tuple(probe("loss", "skipped", reason) for reason in needs)
    fields = {"verdict": "inconclusive", "findings": (), "suppressed": (), "probes": probes}
    return blocked(**(fields | more))


def test_the_exception_that_ended_training_is_told_once():
    text = " ".join(render(unjudged(), "text", Look()).split())

    assert text.count("Net.forward() takes 2 arguments") == 1
    assert f"Training ended with an exception: {RAISED} Inconclusive" in text


def test_an_exception_that_a_finding_tells_of_is_not_told_again():
    said = "TypeError: Net.forward() takes 2 arguments but 3 were given"
    quoting = replace(SWALLOWED, quote=said, explains=())

    text = render(unjudged(findings=(quoting,), verdict="blocked"), "text", Look())

    assert "Training ended" not in text


def watched(seen, **more):
    script = replace(blocked().target, kind="script", data={"batches": 9, "batch_size": 32} | more)
    measured = {"seen": {"torch": True} | seen, "watch": {"share": 0.05, "opening_steps": 1}}
    report = unjudged(target=script, probes=(), measurements=measured)
    return " ".join(render(report, "text", Look()).split())


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        ({"torch": False}, "the script did not import torch."),
        ({"torch": False, "status": 2}, "the script ended with status 2."),
        ({"status": 2}, "the script ended with status 2."),
        ({"status": 2, "batches": 1}, "0 backward passes; the script ended with status 2."),
        ({"status": 1, "raised": "KeyError: 'x'"}, "0 forward passes, 0 backward passes."),
    ],
)
def test_a_run_without_steps_is_told_with_its_exit_status(seen, says):
    assert watched(seen).endswith(says)


def test_one_step_that_was_seen_in_full_is_one():
    assert "after the first step, which was seen in full." in watched({})


def test_batches_of_no_known_loader_were_seen():
    assert "9 batches of 32 seen" in watched({}, only_seen=True)
    assert "seen Watching" not in watched({})
