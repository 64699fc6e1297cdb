"""What is said before anything runs."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import pytest
from typer.main import get_command

from traindoctor import __version__
from traindoctor.cli.main import app, main


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run the command line in this process; return exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["traindoctor", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return ended.value.code or 0, out, err

    return call


def test_the_version_is_one_line(run):
    assert run("--version") == (0, f"traindoctor {__version__}\n", "")


COMMANDS = sorted(get_command(app).commands)  # type: ignore[attr-defined]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_help_has_an_example_that_can_be_copied(run, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")

    code, out, _ = run(*command.split(), "--help")

    assert code == 0
    *_, last = out.rstrip().splitlines()  # on one line, and the last one
    assert last.startswith(f"  Example: traindoctor {command}")


@pytest.mark.parametrize("command", ["rules", "explain", "init", "new-probe"])
def test_the_example_does_what_it_says(run, command):
    example = run(command, "--help")[1].rstrip().splitlines()[-1]

    code, out, err = run(*shlex.split(example)[2:])

    assert (code, err) == (0, "")
    assert out


def test_the_list_of_commands_cuts_no_sentence_off(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")

    listed = run("--help")[1].partition("Commands:")[2].partition("Example:")[0]

    assert sorted(line.split()[0] for line in listed.splitlines() if line.strip()) == COMMANDS
    assert "..." not in listed


def test_the_schema_is_printed_as_json(run):
    code, out, _ = run("schema")

    assert code == 0
    assert json.loads(out)["title"] == "traindoctor report"


def test_rules_are_listed_for_people_and_machines(run):
    _, table, _ = run("rules")
    _, machine, _ = run("rules", "--format", "json")

    listed = json.loads(machine)
    assert listed
    for rule in listed:
        assert f"{rule['code']}  {rule['name']}" in table


def test_a_rule_is_explained_by_code_and_by_name(run):
    first = json.loads(run("rules", "--format", "json")[1])[0]

    by_code, by_name = run("explain", first["code"].lower()), run("explain", first["name"])

    assert by_code == by_name
    assert first["what"].split()[0] in by_code[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["check"], "name a target, as in `traindoctor check train.py:setup`"),
        (["check", "a.py:f", "--model", "b.py:m", "--data", "b.py:d"], "not both"),
        (["check", "--model", "b.py:m"], "--model and --data go together"),
        (["check", "a.py:f", "--select", "TD99999"], "there is no rule 'TD99999'"),
        (["check", "a.py:f", "--arg", "novalue"], "--arg takes KEY=VALUE, not 'novalue'"),
        (["check", "a.py:f", "--report", "x.jsn"], "did you mean '.json'"),
        (["check", "a.py:f", "--format", "jsn"], "did you mean 'json'"),
        (["check", "a.py:f", "--fail-on", "eror"], "did you mean 'error'"),
        (["check", "a.py:f", "--timeout", "-1"], "takes a number of seconds"),
        (["check", "a.py:f", "--output", "no/where.json"], "there is no folder no"),
        (["check", "a.py:f", "--report", "."], "names no format"),
        (["check", "a.py:f", "--config", "none.toml"], "cannot read none.toml"),
        (["explain", "TD20x"], "there is no rule 'TD20x'"),
        (["chekc"], "chekc"),
        (["overfit", "a.py:f", "--steps", "0"], "--steps"),
        (["timing", "a.py:f", "--seconds", "0"], "no run takes no time at all"),
    ],
)
def test_a_wrong_command_line_is_one_clear_sentence(run, words, says):
    code, out, err = run(*words)

    assert code == 2
    assert out == ""
    assert says in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("probes = {nope = {}}", "there is no probe 'nope'"),
        ("probes = {optimizer-membership = {nope = 1}}", "has no setting 'nope'"),
        ("per-file-ignores = {'a.py' = ['TD99999']}", "there is no rule 'TD99999'"),
        ("per-file-ignores = ['a.py']", "holds one list of rules for each pattern"),
        ("per-file-ignore = {}", "did you mean 'per-file-ignores'?"),
        ("selct = ['TD1']", "unknown setting 'selct'"),
        ("= 1", "is not valid TOML"),
    ],
)
def test_a_wrong_configuration_is_one_clear_sentence(run, tmp_path, body, says):
    (tmp_path / "pyproject.toml").write_text(f"[tool.traindoctor]\n{body}\n")

    code, out, err = run("check", "a.py:f")

    assert (code, out) == (2, "")
    assert says in err


def test_a_bug_of_ours_ends_with_three_and_says_what_to_send(run, monkeypatch):
    def broken(*_):
        raise RuntimeError("oops")

    monkeypatch.setattr("traindoctor.cli.handbook.rules_text", broken)

    code, out, err = run("rules")

    assert (code, out) == (3, "")
    assert "RuntimeError: oops" in err
    assert f"traindoctor {__version__}" in err


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["rules"], ["check", "--help"]])
def test_the_command_line_never_imports_torch_or_pandas(words):
    program = (
        "import sys; from traindoctor.cli.main import main\n"
        f"sys.argv = ['traindoctor', *{words!r}]\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'pandas', 'numpy', 'transformers', 'lightning'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr


def test_help_and_version_do_not_import_rich():
    program = (
        "import sys; from traindoctor.cli.main import main\n"
        "sys.argv = ['traindoctor', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "sys.exit(any(name.startswith('rich') for name in sys.modules))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
