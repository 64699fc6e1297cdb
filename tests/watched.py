"""Watches a script as a user does, and hands over the report."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def watched(script: str | Path, folder: Path, *words: str, timeout: float = 300) -> Path:
    """Return the JSON report on a script that `traindoctor watch` runs in a folder."""
    command = (sys.executable, "-m", "traindoctor", "watch", "-q", "--report", "report.json")
    subprocess.run(
        [*command, *words, str(script)],
        cwd=folder,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return folder / "report.json"
