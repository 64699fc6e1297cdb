"""A hook is crashing where it crashed, risky where its module may return what it fails on."""

from __future__ import annotations

from dataclasses import replace

from tests.probes.asking import asks

from traindoctor.probing import Confidence, Finding, NoOptions, Severity
from traindoctor.trace import HookRow, Place, SourceRow, Trace
from traindoctor_probes.module_hooks import examine

NO_SHAPE = "AttributeError: no attribute 'shape'"
SAFE = HookRow(
    hook="Manager.hook",
    place=Place("/user/hooks.py", 10, "hook", "def hook(module, args, output):"),
    module="encoder",
    module_class="Encoder",
    is_users_module=True,
    num_calls=6,
    given=("Tensor",),
    possible=("tensor",),
    tried=(("tensor", ""), ("tuple", ""), ("dict", "")),
)
RISKY = replace(
    SAFE,
    possible=("tensor", "dict"),
    tried=(("tensor", ""), ("tuple", NO_SHAPE), ("dict", NO_SHAPE)),
    tried_place=Place("/user/hooks.py", 12, "hook", "output.shape"),
)
CRASHING = replace(
    RISKY,
    hook="Manager.prompt",
    place=Place("/user/hooks.py", 30, "prompt", "def prompt(module, args, output):"),
    module="text",
    given=("ModelOutput",),
    possible=("ModelOutput",),
    tried=(("tensor", ""), ("ModelOutput", NO_SHAPE), ("dict", NO_SHAPE)),
    error_type="AttributeError",
    error_message="no attribute 'shape'",
    error_given="ModelOutput",
    error_place=Place("/user/hooks.py", 33, "prompt", "output.shape"),
    traceback=NO_SHAPE,
)

SOURCE = (
    SourceRow(
        file="/user/hooks.py",
        text="\n" * 9
        + """def hook(module, args, output):
    if isinstance(output, tuple):
        hidden = output[0]
    else:
        hidden = output
    return hidden.shape
""",
    ),
)


def found(*tried: HookRow) -> list[Finding]:
    run = Trace(hooks=tuple(replace(row, possible=(), tried=()) for row in tried))
    ask = asks(short_run=run, try_hooks=Trace(hooks=tried), read_source=Trace(source=SOURCE))
    return list(examine(ask, NoOptions()))


def test_a_hook_that_raised_is_critical_at_the_line_that_raised() -> None:
    (finding,) = found(CRASHING)
    assert (finding.code, finding.severity) == ("TD802", Severity.CRITICAL)
    assert finding.location.line == 33
    assert "given ModelOutput" in finding.title
    assert finding.quote == NO_SHAPE


def test_the_crash_comes_with_the_table_of_all_hooks() -> None:
    (table,) = found(CRASHING, SAFE)[0].tables
    assert table.columns[-1] == "status"
    assert table.rows == (
        ("prompt", "text", "ModelOutput", "ModelOutput", "ModelOutput, dict", "crashing"),
        ("Manager", "encoder", "Tensor", "tensor", "–", "safe"),
    )


def test_a_hook_that_fails_only_on_what_its_module_never_returns_is_safe() -> None:
    unmet = replace(RISKY, possible=("tensor",), place=Place("/user/other.py", 3, "hook"))
    (table,) = found(CRASHING, unmet)[0].tables
    assert [row[-1] for row in table.rows] == ["crashing", "safe"]


def test_a_module_entered_past_its_forward_is_said_to_be() -> None:
    row = replace(
        RISKY,
        num_calls=0,
        given=(),
        possible=("tuple",),
        entered_by="encode",
        would_give="(int, Tensor)",
    )
    (finding,) = found(row)
    assert finding.confidence is Confidence.CERTAIN
    assert "`encode` was, and that fires no forward hook" in finding.message
    assert "returns (int, Tensor)" in finding.message


def test_the_remedy_is_made_of_the_hooks_own_lines() -> None:
    first = found(RISKY)[0].remedies[0]
    assert first.before.splitlines() == [
        "if isinstance(output, tuple):",
        "    hidden = output[0]",
        "else:",
        "    hidden = output",
    ]
    assert first.after.endswith("hidden = tensor_of(output)")


def test_a_kind_that_the_module_returns_and_the_hook_fails_on_is_a_warning() -> None:
    (finding,) = found(RISKY)
    assert (finding.code, finding.severity) == ("TD803", Severity.WARNING)
    assert (finding.confidence, finding.location.line) == (Confidence.CERTAIN, 12)
    assert finding.title.endswith("would raise on dict")


def test_a_kind_that_the_module_never_returns_is_no_risk() -> None:
    assert found(replace(RISKY, possible=("tensor",))) == []


def test_a_librarys_model_that_could_return_tuples_is_no_risk() -> None:
    row = replace(RISKY, is_users_module=False, possible=("ModelOutput", "tuple"))
    assert found(row) == []


def test_a_hook_of_the_file_that_crashes_makes_its_siblings_risky() -> None:
    sibling = replace(
        RISKY, possible=("tensor",), tried=(("tensor", ""), ("ModelOutput", NO_SHAPE))
    )
    crash, risk = found(CRASHING, sibling)
    assert (crash.code, risk.code, risk.confidence) == ("TD802", "TD803", Confidence.LIKELY)
    elsewhere = replace(sibling, place=replace(sibling.place, file="/user/plots.py"))
    assert [finding.code for finding in found(CRASHING, elsewhere)] == ["TD802"]


def test_one_function_on_many_modules_is_one_finding() -> None:
    rows = [replace(RISKY, module=f"blocks.{n}") for n in range(5)]
    (finding,) = found(*rows)
    assert "blocks.* (5)" in finding.title


def test_an_early_exit_that_is_raised_on_purpose_is_no_crash() -> None:
    assert found(replace(CRASHING, is_users_error=True, tried=())) == []


def test_a_crash_that_only_the_trial_met_is_reported_too() -> None:
    tried = Trace(hooks=(SAFE, CRASHING))
    trial = asks(short_run=Trace(hooks=(SAFE,)), try_hooks=tried, read_source=Trace())
    assert [finding.code for finding in examine(trial, NoOptions())] == ["TD802"]


def test_without_hooks_nothing_is_tried() -> None:
    assert list(examine(asks(short_run=Trace()), NoOptions())) == []
