"""How much memory and disk there is to keep copies in."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["free_memory", "roomiest_folder"]

IN_MEMORY = {"tmpfs", "ramfs"}


def free_memory(device: torch.device) -> int | None:
    """Return the bytes that can still be had on a device; None where nobody says."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type != "cpu":
        return None
    known = [size for size in (_of_machine(), _of_group()) if size is not None]
    return min(known, default=None)


def roomiest_folder() -> tuple[Path, int]:
    """Return the folder for temporary files that has most room, with its free bytes.

    One that is itself held in memory counts as having none.
    """
    folders = dict.fromkeys([tempfile.gettempdir(), "/var/tmp"])
    found = [(Path(name), _room(name)) for name in folders if os.path.isdir(name)]
    return max(found, key=lambda item: item[1])


def _room(folder: str) -> int:
    return 0 if _file_system(folder) in IN_MEMORY else shutil.disk_usage(folder).free


def _file_system(folder: str) -> str:
    """Return the kind of file system that a folder is on; empty where nobody says."""
    best, kind = "", ""
    path = os.path.realpath(folder)
    for line in _lines("/proc/mounts"):
        _, mount, this, *_ = line.split(" ")
        is_above = path == mount or path.startswith(mount.rstrip("/") + "/")
        if is_above and len(mount) >= len(best):
            best, kind = mount, this
    return kind


def _of_machine() -> int | None:
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return None


def _of_group() -> int | None:
    """Return what the control group of this process may still take, its file cache included."""
    path = next((line[3:] for line in _lines("/proc/self/cgroup") if line[:3] == "0::"), "")
    for folder in (Path("/sys/fs/cgroup" + path), Path("/sys/fs/cgroup")):
        limit, used = (_lines(str(folder / f"memory.{name}")) for name in ("max", "current"))
        if limit and used and limit[0].isdigit():
            cache = (line.split() for line in _lines(str(folder / "memory.stat")))
            given_up = sum(int(size) for name, size in cache if name == "inactive_file")
            return int(limit[0]) - int(used[0]) + given_up
    return None


def _lines(file: str) -> list[str]:
    try:
        return Path(file).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
