"""Numbers that float16 does not hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.probes.asking import asks
from tests.probes.running import USERS, gradients, line, parameter, run
from torch import nn

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import AutocastRow, ScalerRow
from traindoctor_probes.half_precision import ROUNDS_TO_ZERO, examine

REGION = line(12, 'with torch.autocast("cuda", dtype=torch.float16):')


def findings(
    rms: float = 1e-6, eps: float = 1e-8, dtype: str = "float32", **more: Any
) -> list[Finding]:
    seen = run(
        parameters=[parameter("layer.weight", dtype=dtype, group=(0, 0))],
        rows=gradients("layer.weight", rms),
        optimizers=(replace(USERS, epsilons=(eps,)),),
        **more,
    )
    return list(examine(asks(short_run=seen), NoOptions()))


def autocast(dtype: str = "float16") -> tuple[AutocastRow, ...]:
    return (AutocastRow(place=REGION, dtype=dtype, device_type="cuda", num_low=8),)


def test_float16_without_a_scaler_is_a_warning_where_gradients_are_below_its_range() -> None:
    (finding,) = findings(autocasts=autocast())
    assert (finding.code, finding.severity, finding.location.line) == (
        "TD711",
        Severity.WARNING,
        12,
    )


def test_it_is_information_where_they_are_not_yet() -> None:
    (finding,) = findings(1e-3, autocasts=autocast())
    assert finding.severity is Severity.INFO


def test_a_scaler_and_bfloat16_are_healthy() -> None:
    assert findings(autocasts=autocast(), scalers=(ScalerRow(index=0),)) == []
    assert findings(autocasts=autocast("bfloat16")) == []


def test_an_epsilon_that_is_zero_in_float16_is_named_where_the_optimizer_is_built() -> None:
    (finding,) = findings(dtype="float16")
    assert (finding.severity, finding.location.line) == (Severity.WARNING, USERS.place.line)


def test_a_larger_epsilon_and_other_weights_are_healthy() -> None:
    assert findings(dtype="float16", eps=1e-4) == []
    assert findings(dtype="bfloat16") == []


@pytest.mark.parametrize(("eps", "is_nan"), [(1e-8, True), (1e-4, False)])
def test_the_hazard_is_real(eps: float, is_nan: bool) -> None:
    weight = nn.Parameter(torch.ones(3, dtype=torch.float16))
    weight.grad = torch.zeros_like(weight)
    torch.optim.Adam([weight], eps=eps).step()
    assert bool(weight.isnan().any()) == is_nan
    assert (float(torch.tensor(eps).half()) == 0) == (eps < ROUNDS_TO_ZERO)
