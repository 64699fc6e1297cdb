"""A probe package of somebody else's, built and installed, is loaded like our own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}"
version = "1.0"
[project.entry-points."traindoctor.probes"]
{name} = "{name}"
"""

PROBE = '''
"""Is the model large?

## What it measures
Parameters.
## Why it matters
It does not.
## Known limits
None.
## References
None.
"""
from traindoctor.experiments import ReadSource
from traindoctor.probing import Evidence, NoOptions, Probe, Remedy, Rule, Severity

LARGE = Rule(
    code="{code}", name="{rule}", severity=Severity.WARNING,
    title="{{count}} parameters", what="Large.", why="Slow.", known_limits="None.",
    remedies=(Remedy("Shrink it", recommended=True),),
)

def examine(ask, options):
    count = sum(row.num_elements for row in ask(ReadSource()).parameters)
    rows = [Evidence("elements", count, 0)]
    yield LARGE.finding(f"{{count}} elements.", evidence=rows, count=count)

probe = Probe(name="{name}", doc=__doc__, rules=(LARGE,), examine=examine,
              experiments=lambda options: (ReadSource(),), options=NoOptions)
'''

CHECK = """
import torch, traindoctor
from traindoctor.probing.registry import all_rules, broken_providers
model = torch.nn.Linear(3, 2)
loader = [(torch.randn(4, 3), torch.randn(4, 2))] * 4
report = traindoctor.check((model, loader), select=["{code}"])
print([(f.code, f.title) for f in report.findings], broken_providers(), "TD401" in all_rules())
"""


def installed(folder: Path, name: str, code: str, rule: str, body: str = PROBE) -> Path:
    """Build and install a provider into a folder of its own, as pip would anywhere."""
    package = folder / "source" / name
    package.mkdir(parents=True)
    (package.parent / "pyproject.toml").write_text(PYPROJECT.format(name=name))
    (package / "__init__.py").write_text("")
    (package / "size.py").write_text(body.format(name=name, code=code, rule=rule))
    site = folder / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    subprocess.run(
        [*pip, "--target", str(site), str(package.parent)], check=True, capture_output=True
    )
    return site


def checked(site: Path, code: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"}
    program = CHECK.format(code=code)
    ran = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return ran.stdout.strip()


def test_an_installed_provider_reports_its_rule(tmp_path: Path) -> None:
    site = installed(tmp_path, "size_probes", "TD790", "large-model")
    assert checked(site, "TD790") == "[('TD790', '8 parameters')] () True"


@pytest.mark.parametrize(
    ("code", "rule", "body", "reason"),
    [
        pytest.param("TD401", "taken", PROBE, "belongs to the probe", marks=pytest.mark.slow),
        ("TD791", "broken", "raise OSError('no {name}, {code}, {rule}')", "OSError"),
    ],
)
def test_a_provider_that_is_broken_is_named_and_stops_nobody(
    tmp_path: Path, code: str, rule: str, body: str, reason: str
) -> None:
    site = installed(tmp_path, "bad_probes", code, rule, body)
    output = checked(site, "TD401")
    assert "bad_probes" in output
    assert reason in output
    assert output.endswith("True")
