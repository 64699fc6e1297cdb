"""Takes the pictures of `reports.md` anew: `make screenshots`, which needs Chromium."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
DARK = "--blink-settings=preferredColorScheme=0"
PICTURES = (  # name, program, width, height, what the browser is told besides
    ("wide", "documents/array_signal_trainer/broken.py", 1280, 1500, ()),
    ("narrow", "documents/array_signal_trainer/broken.py", 400, 1500, ()),
    ("dark", "documents/array_signal_trainer/broken.py", 1280, 1500, (DARK,)),
    ("experiments", "faults/cannot-overfit-one-batch/sick.py", 1280, 1250, ()),
)


def main() -> None:
    """Examine each program once, and photograph its page."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"none of {', '.join(BROWSERS)} is installed")
    with tempfile.TemporaryDirectory() as folder:
        for name, program, width, height, more in PICTURES:
            page = Path(folder, f"{program.replace('/', '-')}.html")
            if not page.exists():
                examine(ROOT / "fixtures" / program, page)
            options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *more]
            picture = ROOT / "docs" / "images" / f"report-{name}.png"
            shot = [f"--window-size={width},{height}", f"--screenshot={picture}", page.as_uri()]
            subprocess.run([browser, *options, *shot], check=True, capture_output=True)


def examine(program: Path, page: Path) -> None:
    """Leave a program's report at a page, made in the program's own folder."""
    words = ["check", f"{program.name}:setup", "--exit-zero", "--report", "report.html", "-q"]
    made = program.parent / "report.html"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "traindoctor", *words]
    subprocess.run(command, cwd=program.parent, env=environment, check=True)
    shutil.move(made, page)


if __name__ == "__main__":
    main()
