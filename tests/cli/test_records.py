"""What is done with reports that were kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from tests.report.sample import blocked

from traindoctor.cli.main import main
from traindoctor.codec import dumps


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["traindoctor", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call


@pytest.fixture
def kept(tmp_path) -> Path:
    (tmp_path / "report.json").write_text(dumps(blocked()), encoding="utf-8")
    return tmp_path / "report.json"


def test_a_kept_report_is_shown_in_several_formats_at_once(run, kept, tmp_path):
    code, out, _ = run("render", "report.json", "--report", "a.html", "--report", "b.sarif", "-q")

    assert (code, out) == (0, "Training is blocked: 1 root cause, 2 symptoms.\n")
    assert (tmp_path / "a.html").read_text().startswith("<!doctype html>")
    assert json.loads((tmp_path / "b.sarif").read_text())["version"] == "2.1.0"


def test_a_project_s_settings_do_not_write_over_the_report(run, kept, tmp_path):
    (tmp_path / "pyproject.toml").write_text("[tool.traindoctor]\nreport = ['report.json']\n")
    before = kept.stat().st_mtime_ns

    assert run("render", "report.json")[0] == 0
    assert kept.stat().st_mtime_ns == before


def test_rendering_imports_neither_torch_nor_pandas(kept):
    forms = ("text", "markdown", "html", "json", "jsonl", "sarif", "junit", "github")
    program = (
        "import sys; from traindoctor.cli.main import main\n"
        f"for form in {forms!r}:\n"
        f"    sys.argv = ['traindoctor', 'render', {str(kept)!r}, '--format', form]\n"
        "    try: main()\n"
        "    except SystemExit as end: assert not end.code, form\n"
        "heavy = {'torch', 'pandas', 'numpy', 'transformers'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    words = [sys.executable, "-c", program]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot read report.json: No such file"),
        ("{", "report.json is not JSON"),
        ("[]", "report.json is no report"),
        ('{"schema_version": "9.0"}', "its schema is 9.0"),
    ],
)
def test_what_is_no_report_is_told_so(run, tmp_path, text, says):
    if text is not None:
        (tmp_path / "report.json").write_text(text)

    code, out, err = run("render", "report.json")

    assert (code, out) == (2, "")
    assert says in err


def test_a_comparison_fails_on_what_is_new(run, kept, tmp_path):
    calm = blocked(findings=(), verdict="healthy")
    (tmp_path / "calm.json").write_text(dumps(calm), encoding="utf-8")

    worse = run("compare", "calm.json", "report.json")
    better = run("compare", "report.json", "calm.json", "--format", "json")

    assert (worse[0], better[0]) == (1, 0)
    assert "3 new, 0 fixed, 0 still there" in worse[1]
    assert [finding["code"] for finding in json.loads(better[1])["fixed"]] == [
        "TD801",
        "TD103",
        "TD501",
    ]


def test_a_baseline_is_not_written_over(run, kept):
    words = ("check", "a.py:f", "--baseline", "report.json", "--report", "report.json")

    code, _, err = run(*words)

    assert code == 2
    assert "report.json is the baseline" in err
