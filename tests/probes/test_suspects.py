"""What is taken away to heal a batch is reported by rules that know it."""

from __future__ import annotations

import inspect
import re

import pytest

from traindoctor.probing.registry import all_rules
from traindoctor_probes import _course_trials, _suspects

BLAMED = re.compile(r'"(TD\d{3})"')


@pytest.mark.parametrize(("module", "symptom"), [(_suspects, "TD601"), (_course_trials, "TD105")])
def test_a_rule_that_is_to_blame_explains_what_it_is_blamed_for(module, symptom):
    codes = set(BLAMED.findall(inspect.getsource(module)))
    assert codes
    for code in codes:
        assert symptom.startswith(all_rules()[code].explains), code
