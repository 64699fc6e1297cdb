"""What `traindoctor watch` says of a script."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.watch.build import Built
from tests.watch.running import Ran, run

JUDGED = ("critical", "error", "warning")
ANNOUNCED = re.compile(r"^traindoctor: [A-Z]+ (TD\d+) ", re.MULTILINE)

BROKEN = re.compile(r"^traindoctor: an instrument failed and was left out: (.*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """A root cause or a symptom of a report."""

    code: str
    severity: str
    file: str  # its name alone
    line: int | None
    title: str

    @property
    def place(self) -> str:
        """File and line, as tables show them."""
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True, slots=True)
class Examined:
    """A watched run, as far as the corpus asks.

    Attributes:
        verdict: the report's; "no report" where none came.
        roots: the root causes at warning or above.
        symptoms: codes of the symptoms at warning or above.
        notes: the findings that are information.
        announced: codes that were announced while the script ran.
        reported: codes of all findings.
        errored: probes that failed to judge, with their reason.
        ran: the run as its author sees it.
        lines: where the root cause may point; empty where any place is right.
        file: name of the file that it may point at.
    """

    verdict: str
    roots: tuple[Found, ...]
    symptoms: tuple[str, ...]
    notes: tuple[Found, ...]
    announced: tuple[str, ...]
    reported: tuple[str, ...]
    errored: tuple[str, ...]
    ran: Ran
    lines: tuple[int, ...]
    file: str

    @property
    def codes(self) -> tuple[str, ...]:
        """Codes of the root causes."""
        return tuple(root.code for root in self.roots)

    @property
    def points_well(self) -> bool:
        """Tell whether the first root cause points at a line that is right."""
        if not self.lines:
            return True
        return any(self.is_at_place(root) for root in self.roots[:1])

    def is_at_place(self, finding: Found) -> bool:
        """Tell whether a finding points at a line that is right."""
        return finding.file == self.file and finding.line in self.lines

    @property
    def taken_back(self) -> tuple[str, ...]:
        """Codes that were announced and are not in the report."""
        return tuple(code for code in self.announced if code not in self.reported)

    @property
    def broken(self) -> tuple[str, ...]:
        """The instruments that failed, with the reason."""
        return tuple(BROKEN.findall(self.ran.printed))

    @property
    def alarms(self) -> tuple[Found, ...]:
        """The root causes that a healthy script must not have."""
        return tuple(root for root in self.roots if root.severity != "warning")


def examine(built: Built, workplace: Path, file: str = "") -> Examined:
    """Watch a script through the command line, from a workplace that takes the report, too."""
    workplace.mkdir(parents=True, exist_ok=True)
    report = workplace / "report.json"
    prefix = ["-m", "traindoctor", "watch", "--report", str(report)]
    if built.script.is_module:
        prefix += ["-m"]
    ran = run(built.script, built.folder, workplace, prefix)
    data: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    judged = [f for f in data.get("findings", ()) if f["severity"] in JUDGED]
    return Examined(
        verdict=data.get("verdict", "no report"),
        roots=tuple(_found(f) for f in judged if f["role"] == "root-cause"),
        symptoms=tuple(f["code"] for f in judged if f["role"] == "symptom"),
        notes=tuple(_found(f) for f in data.get("findings", ()) if f["severity"] == "info"),
        announced=tuple(ANNOUNCED.findall(ran.printed)),
        reported=tuple(f["code"] for f in data.get("findings", ())),
        errored=tuple(
            f"{probe['name']}: {probe['reason']}"
            for probe in data.get("probes", ())
            if probe["status"] == "errored"
        ),
        ran=ran,
        lines=built.lines,
        file=file,
    )


def _found(finding: dict[str, Any]) -> Found:
    location = finding["location"]
    return Found(
        code=finding["code"],
        severity=finding["severity"],
        file=Path(location.get("file") or "").name,
        line=location.get("line"),
        title=finding["title"],
    )
