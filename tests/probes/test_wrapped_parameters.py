"""Parameters of a wrapper that get no gradient."""

from __future__ import annotations

from tests.probes.asking import asks, raised
from tests.probes.ranking import WRAP, both, rank, step

from traindoctor.probing import Finding, NoOptions
from traindoctor.trace import DigestRow, ExceptionRow, ParameterRow
from traindoctor_probes.wrapped_parameters import examine

SAYS = (
    "Expected to have finished reduction in the prior iteration before starting a new one. This "
    "error indicates that your module has parameters that were not used in producing loss.\n"
    "Parameter indices which did not receive grad for rank 1: 1 2\n In addition, …"
)


def findings(row: ExceptionRow, *digests: DigestRow) -> list[Finding]:
    parameters = tuple(
        ParameterRow(name=name, shape=(2,), num_elements=2, requires_grad=name != "frozen")
        for name in ("frozen", "body", "head", "tail")
    )
    trace = both(rank(0), rank(1, exceptions=(row,)), digests=digests, parameters=parameters)
    return list(examine(asks(compare_ranks=trace), NoOptions()))


def test_the_parameters_are_named_where_the_wrapper_is_built() -> None:
    (finding,) = findings(raised("RuntimeError", SAYS))
    assert (finding.code, finding.location.line) == ("TD906", WRAP.line)
    assert "head, tail" in finding.message


def test_a_refusal_that_names_none_is_told_without_names() -> None:
    (finding,) = findings(raised("RuntimeError", SAYS.split("\n", maxsplit=1)[0]))
    assert finding.title == "Parameters of the wrapped model get no gradient"


def test_other_exceptions_are_not_this() -> None:
    assert findings(raised("RuntimeError", "Connection closed by peer")) == []


def test_parameters_that_were_exchanged_after_wrapping_are_not_this() -> None:
    late = step(1, 0, unwrapped=("head.weight",))
    assert findings(raised("RuntimeError", SAYS), late) == []
