"""Nothing is lost: what cannot be written is printed."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from tests.report.sample import blocked

from traindoctor.cli.delivery import Delivery
from traindoctor.config import Config
from traindoctor.errors import UsageError


def test_a_report_whose_folder_went_away_is_printed(tmp_path, capsys):
    folder = tmp_path / "out"
    folder.mkdir()
    delivery = Delivery(Config(output=folder / "report.json"), 0)
    delivery.check()
    folder.rmdir()

    assert delivery.deliver(blocked()) is False

    out, err = capsys.readouterr()
    assert json.loads(out)["verdict"] == "blocked"
    assert err.startswith(f"traindoctor: cannot write {folder / 'report.json'}: No such file")


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "report.json").mkdir()

    with pytest.raises(UsageError, match="it is a folder"):
        Delivery(Config(report=(tmp_path / "report.json",)), 0).check()


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_text_is_printed_in_whatever_the_terminal_can_show(encoding, monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding=encoding))

    Delivery(Config(), 0).deliver(blocked())

    assert "CRITICAL  TD801" in shown.getvalue().decode(encoding)


def test_json_is_utf_8_whatever_the_terminal_shows(monkeypatch):
    shown = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="ascii"))

    Delivery(Config(format="json"), 0).deliver(blocked())

    assert json.loads(shown.getvalue().decode("utf-8"))


def test_the_format_of_a_file_is_its_ending_unless_the_format_is_given():
    assert Delivery(Config(output=Path("a.json")), 0).files == {Path("a.json"): "json"}
    assert Delivery(Config(output=Path("a.log"), format="text"), 0).files == {Path("a.log"): "text"}
    with pytest.raises(UsageError, match="names no format"):
        Delivery(Config(output=Path("a.log")), 0)
