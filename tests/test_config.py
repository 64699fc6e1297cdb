from __future__ import annotations

from pathlib import Path

import pytest

from traindoctor.config import Config, load_config
from traindoctor.errors import UsageError


def pyproject(folder: Path, body: str) -> Path:
    file = folder / "pyproject.toml"
    file.write_text(body)
    return file


def load(folder: Path, flags: dict | None = None, environment: dict | None = None) -> Config:
    return load_config(flags or {}, start=folder, environment=environment or {})


def test_without_any_source_the_defaults_hold(tmp_path):
    pyproject(tmp_path, "[project]\nname = 'x'\n")

    assert load(tmp_path) == Config()


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path):
    pyproject(
        tmp_path,
        "[tool.traindoctor]\nfail-on = 'info'\ntimeout = 1\nselect = ['TD1']\nignore = ['TD101']\n",
    )
    environment = {"TRAINDOCTOR_TIMEOUT": "2", "TRAINDOCTOR_SELECT": "TD2, TD3", "HOME": "x"}

    config = load(tmp_path, {"timeout": 3.0, "format": None}, environment)

    assert config.timeout == 3.0
    assert config.select == ("TD2", "TD3")
    assert config.fail_on == "info"
    assert config.ignore == ("TD101",)
    assert config.format is None


def test_the_nearest_pyproject_upwards_is_read(tmp_path):
    pyproject(tmp_path, "[tool.traindoctor]\ntimeout = 1\n")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    pyproject(tmp_path / "a", "[tool.traindoctor]\ntimeout = 2\n")

    assert load(inner).timeout == 2


def test_settings_of_probes_pass_through(tmp_path):
    pyproject(tmp_path, "[tool.traindoctor.probes.loss-values]\nnum_steps = 3\n")

    assert load(tmp_path).probes == {"loss-values": {"num_steps": 3}}


def test_a_file_of_its_own_may_hold_the_table_at_its_top(tmp_path):
    file = tmp_path / "doctor.toml"
    file.write_text("restore = false\nreport = ['a.json', 'b.txt']\n")

    config = load_config({}, file=file, environment={})

    assert config.restore is False
    assert config.report == (Path("a.json"), Path("b.txt"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("fail_on = 'error'", "unknown setting 'fail_on' in .*; did you mean 'fail-on'"),
        ("fail-on = 'eror'", "is 'eror', .*did you mean 'error'"),
        ("format = 'jsn'", "did you mean 'json'"),
        ("select = [1]", "'select' in .* takes a list of words"),
        ("timeout = -1", "takes a number of seconds"),
        ("timeout = 'soon'", "takes a number of seconds"),
        ("timeout = true", "takes a number of seconds"),
        ("restore = 'maybe'", "takes true or false"),
        ("output = 3", "takes a file name"),
        ("probes = 3", "one table for each probe"),
        ("probes = {a = 3}", "one table for each probe"),
    ],
)
def test_a_wrong_setting_is_one_sentence_with_what_would_work(tmp_path, body, says):
    pyproject(tmp_path, f"[tool.traindoctor]\n{body}\n")

    with pytest.raises(UsageError, match=says):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[tool.traindoctor\n", "is not valid TOML"),
        (b"a = '\xff'", "is not valid TOML"),
        (b"[tool]\ntraindoctor = 3\n", "is not a table"),
    ],
)
def test_an_unreadable_file_is_one_sentence(tmp_path, content, says):
    (tmp_path / "pyproject.toml").write_bytes(content)

    with pytest.raises(UsageError, match=says):
        load(tmp_path)


def test_a_named_file_must_exist(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read .*No such file"):
        load_config({}, file=tmp_path / "none.toml", environment={})


def test_an_unknown_variable_names_the_nearest(tmp_path):
    with pytest.raises(UsageError, match="TRAINDOCTOR_FAILON; did you mean 'TRAINDOCTOR_FAIL_ON'"):
        load(tmp_path, environment={"TRAINDOCTOR_FAILON": "error"})


def test_a_wrong_flag_is_called_by_its_name(tmp_path):
    with pytest.raises(UsageError, match="--fail-on is 'bad'"):
        load(tmp_path, {"fail_on": "bad"})
