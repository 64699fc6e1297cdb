"""Where a run is at home: the working directory, and the repository that it is in."""

from __future__ import annotations

import os
from pathlib import Path


def working_directory() -> Path:
    """Return the working directory, by the name it had where it is gone by now."""
    try:
        return Path.cwd()
    except FileNotFoundError:
        return Path(os.environ.get("PWD", os.sep))


class Home:
    """Writes paths as they are seen from the working directory.

    Args:
        directory: the working directory, absolute.
    """

    def __init__(self, directory: Path) -> None:
        root = _repository(directory)
        inside = directory.relative_to(root)
        self.folder = "" if inside == Path() else inside.as_posix()
        # The nearest first: what lies beside the directory is written with `../`.
        self.prefixes = {str(directory) + os.sep: ""}
        for steps, parent in enumerate(directory.parents, start=1):
            if parent == root or root in parent.parents:
                self.prefixes[str(parent) + os.sep] = "../" * steps

    def relative(self, text: str) -> str:
        """Return text in which no path inside the repository is absolute."""
        for prefix, short in self.prefixes.items():
            text = text.replace(prefix, short)
        return text


def _repository(directory: Path) -> Path:
    """Return the folder that holds `.git`; without one, the directory itself."""
    folders = (directory, *directory.parents)
    return next((folder for folder in folders if (folder / ".git").exists()), directory)
