"""Finds the probes: whatever is installed under the entry-point group `traindoctor.probes`.

An entry point names a package, whose modules are walked, or a module. A module that holds
`probe`, a `Probe`, provides it. Ours are loaded exactly like anyone else's.
"""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from importlib.metadata import entry_points

from traindoctor.errors import RAISED_BY_USERS, told
from traindoctor.probing.probe import Probe
from traindoctor.probing.rule import Rule

GROUP = "traindoctor.probes"


@lru_cache(maxsize=1)
def _load() -> tuple[tuple[Probe, ...], tuple[tuple[str, str], ...]]:
    probes: dict[str, Probe] = {}
    codes: dict[str, str] = {}
    broken: list[tuple[str, str]] = []
    # Ours first: whoever comes later cannot take a name or code that is in use.
    for entry in sorted(entry_points(group=GROUP), key=lambda e: (e.name != "builtin", e.name)):
        for name in _module_names(entry.value):
            try:
                probe = getattr(import_module(name), "probe", None)
                if probe is not None:
                    _admit(probe, probes, codes)
            except RAISED_BY_USERS as error:  # a provider is foreign code
                broken.append((name, told(error)))
    return tuple(probes.values()), tuple(broken)


def _module_names(root: str) -> Iterator[str]:
    """Name a provider and its public modules; one that is broken hides none of the others."""
    yield root
    package = sys.modules.get(root)  # imported by whoever took the first name
    for info in pkgutil.walk_packages(getattr(package, "__path__", []), root + "."):
        if not info.name.rpartition(".")[2].startswith("_"):
            yield info.name


def _admit(probe: object, probes: dict[str, Probe], codes: dict[str, str]) -> None:
    if not isinstance(probe, Probe):
        raise TypeError(f"`probe` is a {type(probe).__name__}, not a traindoctor Probe")
    if probe.name in probes:
        raise ValueError(f"there is a probe {probe.name!r} already")
    for rule in probe.rules:
        if rule.code in codes:
            raise ValueError(f"{rule.code} belongs to the probe {codes[rule.code]!r} already")
    probes[probe.name] = probe
    codes.update({rule.code: probe.name for rule in probe.rules})


def all_probes() -> tuple[Probe, ...]:
    """Return every installed probe, the built-in ones first."""
    return _load()[0]


def broken_providers() -> tuple[tuple[str, str], ...]:
    """Return (module, reason) for what could not be loaded."""
    return _load()[1]


def all_rules() -> dict[str, Rule]:
    """Return every rule by its code, in the order of the codes."""
    rules = {rule.code: rule for probe in all_probes() for rule in probe.rules}
    return dict(sorted(rules.items()))
