from __future__ import annotations

from pathlib import Path

import pytest

from traindoctor.config import load_config
from traindoctor.probing.finding import Confidence, Finding, Location
from traindoctor.probing.rule import Severity
from traindoctor.probing.suppression import complain, suppressed, suppression


def finding(file: Path, line: int = 1) -> Finding:
    return Finding(
        code="TD801",
        name="swallowed-exception",
        severity=Severity.ERROR,
        confidence=Confidence.CERTAIN,
        title="it is so",
        message="Indeed.",
        location=Location(file=str(file), line=line),
    )


@pytest.mark.parametrize(
    ("comment", "reason"),
    [
        ("# traindoctor: ignore[TD801] the shard may be torn", "the shard may be torn"),
        ("# traindoctor: ignore[TD101, td801] both", "both"),
        ("# traindoctor:ignore[swallowed-exception] by name", "by name"),
        ("# traindoctor: ignore[TD801]", None),
        ("# traindoctor: ignore[TD80] a prefix is too much", None),
        ("# traindoctor: ignore TD801 no brackets", None),
        ("# noqa", None),
    ],
)
def test_a_comment_silences_the_rules_it_names_if_it_says_why(tmp_path, comment, reason):
    (tmp_path / "a.py").write_text(f"except Exception:  {comment}\n")

    assert suppression(finding(tmp_path / "a.py")) == reason


def test_a_comment_without_a_reason_is_told_so(tmp_path):
    (tmp_path / "a.py").write_text("except Exception:  # traindoctor: ignore[TD801]\n")

    assert "gives no reason" in complain(finding(tmp_path / "a.py")).message
    assert complain(finding(tmp_path / "b.py")).message == "Indeed."


@pytest.mark.parametrize(
    ("pattern", "is_silent"),
    [
        ("tests/**", True),
        ("tests/*.py", True),
        ("train.py", True),
        ("src/**", False),
        ("ain.py", False),
    ],
)
def test_a_pattern_is_relative_to_the_file_of_settings(tmp_path, pattern, is_silent):
    (tmp_path / "pyproject.toml").write_text(
        f"[tool.traindoctor.per-file-ignores]\n'{pattern}' = ['TD8']\n"
    )
    config = load_config({}, start=tmp_path, environment={})
    silent = dict.fromkeys(config.per_file_ignores, ("TD801",))

    found = suppressed(finding(tmp_path / "tests" / "deep" / "train.py"), silent)

    assert (found is not None) == is_silent
    if found:
        assert (found.by, found.reason[:19]) == ("settings", "per-file-ignores of")


def test_only_the_codes_listed_are_silent(tmp_path):
    assert suppressed(finding(tmp_path / "a.py"), {"*/a.py": ("TD101",)}) is None
    assert suppressed(finding(tmp_path / "a.py"), {"*/a.py": ("TD801",)}) is not None
