"""What is built is whole: both packages, their data, their types, and what pip reads of them."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build sdist and, from it, the wheel."""
    folder = tmp_path_factory.mktemp("dist")
    words = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert len(list(folder.glob("*.tar.gz"))) == 1
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_holds_every_file_of_both_packages(wheel):
    packages = (ROOT / "src" / "traindoctor", ROOT / "probes" / "traindoctor_probes")
    there = {
        path.relative_to(package.parent).as_posix()
        for package in packages
        for path in package.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == there
    assert {f"{package.name}/py.typed" for package in packages} <= packed


def test_its_metadata_declares_extras_pythons_and_entry_points(wheel):
    read = {name.rpartition("/")[2]: name for name in wheel.namelist() if ".dist-info/" in name}
    metadata = message_from_string(wheel.read(read["METADATA"]).decode("utf-8"))
    entries = wheel.read(read["entry_points.txt"]).decode("utf-8")

    assert metadata["Requires-Python"] == ">=3.10"
    assert metadata["License-Expression"] == "Apache-2.0"
    assert set(metadata.get_all("Provides-Extra", [])) == {"bench", "dev", "html", "lightning"}
    for group in ("console_scripts", "pytest11", "traindoctor.probes"):
        assert f"[{group}]" in entries
