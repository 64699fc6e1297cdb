"""Nothing is unpickled, nothing is sent, nothing that is the user's is acted on or given away."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.hostile.commands import COMMAND, ran
from tests.hostile.scripts import SETUP, TRAIN
from tests.report.strategies import reports

from traindoctor.report.renderers import RENDERERS, render
from traindoctor.report.renderers.look import Look
from traindoctor.worker.messages import from_line

ROOT = Path(__file__).parents[2]
EXECUTING = {"eval", "exec", "loads", "load", "Unpickler", "read_pickle", "execfile"}
READERS = {"json", "tomllib", "tomli"}  # whose `loads` gives plain data
ALLOWED = {
    # The user's own script is run, as it was asked for; the codec's `loads` is JSON.
    ("watching/script.py", "exec"),
    *((f"{name}.py", "loads") for name in ("worker/main", "watching/__main__", "report/kept")),
    ("target/reference.py", "exec_module"),
    ("worker/main.py", "load"),  # of the target
    ("target/on_disk.py", "load"),  # safetensors: plain numbers
}


def test_no_code_of_ours_reads_what_could_execute() -> None:
    found = set()
    for folder in (ROOT / "src" / "traindoctor", ROOT / "probes" / "traindoctor_probes"):
        for file in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                owner = getattr(getattr(node.func, "value", None), "id", "")
                is_method = isinstance(node.func, ast.Attribute) and name in ("eval", "exec")
                if name in EXECUTING and owner not in READERS and not is_method:
                    found.add((str(file.relative_to(folder)), name))
                assert not any(keyword.arg == "allow_pickle" for keyword in node.keywords)
    assert found - ALLOWED == set()


NOTES = """
import os, sys
LOG = os.environ["NOTES"]
WATCHED = ("socket.connect", "socket.sendto", "socket.getaddrinfo", "pickle.find_class")
def note(event, args):
    if event in WATCHED:
        with open(LOG, "a") as log:
            what = args[1] if event.startswith("socket.") and len(args) > 1 else args
            log.write(f"{' '.join(sys.orig_argv)}\\t{event}\\t{what!r}\\n")
sys.addaudithook(note)
"""
TRAINS = f"""
import torch
from torch import nn
def parts():
    net = nn.Linear(4, 2)
    data = [(torch.randn(4), i % 2) for i in range(64)]
    loader = torch.utils.data.DataLoader(data, batch_size=8, num_workers=1)
    return net, loader, torch.optim.Adam(net.parameters(), lr=1e-2), nn.CrossEntropyLoss()
{SETUP}{TRAIN}
"""


@pytest.fixture
def noted(tmp_path: Path):
    """Return how to run a command of which sockets and unpickled names are noted."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(NOTES)
    (tmp_path / "train.py").write_text(TRAINS)
    log = tmp_path / "notes"
    log.write_text("")
    path = f"{tmp_path / 'site'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"

    def run(*words: str) -> list[list[str]]:
        code, _, err = ran(words, tmp_path, env={"PYTHONPATH": path, "NOTES": str(log)})
        assert code in (0, 1), err
        lines = [line.split("\t") for line in log.read_text().splitlines()]
        log.write_text("")
        return lines

    return run


def is_abroad(event: str, where: str) -> bool:
    local = ("127.0.0.1", "localhost", "::1", "/")  # ranks meet, and workers share by file names
    return event.startswith("socket.") and not any(name in where for name in local)


@pytest.mark.slow
def test_nothing_is_sent_and_our_own_process_unpickles_nothing(noted, tmp_path: Path) -> None:
    for words in (
        ("check", "train.py:setup", "--report", "report.json", "--report", "report.html"),
        ("watch", "--trace", "run.trace", "train.py"),
        ("report", "run.trace"),
        ("lint", "train.py"),
        ("render", "report.json"),
        ("compare", "report.json", "report.json"),
    ):
        notes = noted(*words)
        assert [note for note in notes if is_abroad(note[1], note[2])] == []
        ours = [note for note in notes if f"-m traindoctor {words[0]}" in note[0]]
        assert ours == []


@pytest.mark.slow
def test_ranks_meet_on_this_machine_alone(noted) -> None:
    notes = noted("watch", "--nproc", "2", "train.py")
    assert [note for note in notes if is_abroad(note[1], note[2])] == []


UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


@given(reports)
@settings(max_examples=60)
def test_no_format_holds_what_a_terminal_would_act_on(report) -> None:
    for form in RENDERERS:
        assert UNSAFE.search(render(report, form, Look())) is None


@given(
    st.binary(max_size=60)
    | st.text().map(str.encode)
    | st.sampled_from(["RunEnded"]).map(lambda name: json.dumps([name, {"x": [[]]}]).encode())
)
def test_whatever_a_worker_writes_is_a_message_or_none(line: bytes) -> None:
    try:
        from_line(line)
    except ValueError:
        return


SECRET = "hunter2-8f3a"
LEAKS = """
import os, torch
from torch import nn
SECRET = os.environ["MY_TOKEN"]
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 2)
        self.key = SECRET
    def forward(self, x, names=None):
        token = SECRET
        if {fails}:
            raise RuntimeError("the service refused")
        return self.layer(x)
def parts():
    net = Net()
    loader = [((torch.randn(8, 4), [SECRET] * 8), torch.arange(8) % 2) for _ in range(8)]
    return net, loader, torch.optim.Adam(net.parameters(), lr=1e-2), nn.CrossEntropyLoss()
def setup():
    return parts()
if __name__ == "__main__":
    net, loader, optimizer, loss_fn = parts()
    for (x, names), y in loader:
        optimizer.zero_grad()
        try:
            loss_fn(net(x, names), y).backward()
        except RuntimeError:
            continue
        optimizer.step()
"""


@pytest.mark.slow
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("command", ["check", "watch"])
def test_no_variable_and_no_sample_is_told(command: str, fails: bool, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(LEAKS.format(fails=fails))
    names = [f"r.{ending}" for ending in ("txt", "md", "html", "json", "sarif", "xml", "jsonl")]
    copies = [word for name in names for word in ("--report", name)]
    more = ["--trace", "run.trace"] if command == "watch" else []
    target = "train.py:setup" if command == "check" else "train.py"
    words = (command, "-v", *copies, *more, target)
    code, out, err = ran(words, tmp_path, env={"MY_TOKEN": SECRET})
    assert code in (0, 1, 5), err
    assert SECRET not in out + err
    for path in tmp_path.iterdir():
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path


NAMES = "\x1b[31mred[red]<script>alert(1)</script>\u202e`|"


@pytest.mark.slow
def test_names_and_words_of_user_code_reach_no_terminal_as_they_are(tmp_path: Path) -> None:
    odd = tmp_path / "a\x1b[31m[red]\u202eb"
    odd.mkdir()
    (odd / "train.py").write_text(f"def setup():\n    raise ValueError({NAMES!r})\n")
    (odd / "bro\x1b[1mken.py").write_text("import torch\nloss.backward(\n")
    for words in (
        ("check", str(odd / "train.py:setup")),
        ("check", str(odd / "no\x1b[2J.py:setup")),
        ("lint", str(odd)),
        ("init", str(odd)),
        ("watch", str(odd / "train.py")),
        ("report", str(odd / "x\x1b.trace")),
        ("render", str(odd / "x\x1b.json")),
    ):
        done = subprocess.run([*COMMAND, *words], cwd=tmp_path, capture_output=True, check=False)
        said = (done.stdout + done.stderr).decode(errors="replace")
        assert UNSAFE.search(said) is None, (words, said)
        assert done.returncode in (0, 1, 2, 5), (sys.version, said)
