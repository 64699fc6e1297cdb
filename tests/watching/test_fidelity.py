"""A watched run is the script's own: what it prints, how it ends, every bit that it computes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
HEALTHY, BLOCKED = b"Healthy", b"Training is blocked"
CUT_SHORT = b"Inconclusive: nothing found in what came before the exception"
DOCTOR = (sys.executable, "-m", "traindoctor", "watch", "-q")


def run(*command: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(command, capture_output=True, cwd=FOLDER, timeout=300, check=False)


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        pytest.param(
            ("train.py", "--workers", "2", "--end", "raise"), CUT_SHORT, id="workers, exception"
        ),
        pytest.param(
            ("train.py", "--end", "caught"),
            HEALTHY,
            id="traceback in a handler",
            marks=pytest.mark.slow,
        ),
        pytest.param(("train.py", "--end", "exit"), HEALTHY, id="exit", marks=pytest.mark.slow),
        pytest.param(
            ("train.py", "--end", "forward"), BLOCKED, id="module", marks=pytest.mark.slow
        ),
        pytest.param(
            ("train.py", "--end", "leave"), HEALTHY, id="os._exit", marks=pytest.mark.slow
        ),
        pytest.param(
            ("train.py", "--end", "interrupt"), HEALTHY, id="Ctrl-C", marks=pytest.mark.slow
        ),
        pytest.param(("train.py", "--end", "kill"), HEALTHY, id="kill -9", marks=pytest.mark.slow),
        pytest.param(
            ("train.py", "--workers", "2", "--context", "spawn"),
            HEALTHY,
            id="spawned workers",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_watched_script_prints_computes_and_ends_as_without_us(
    words: tuple[str, ...], verdict: bytes
) -> None:
    bare, watched = run(sys.executable, *words), run(*DOCTOR, *words)
    *theirs, last = watched.stderr.splitlines(keepends=True)
    assert watched.stdout == bare.stdout
    assert b"".join(theirs) == bare.stderr
    assert watched.returncode == bare.returncode
    assert last.startswith(verdict)


FAILING = """
import torch
from torch import nn

net = nn.Linear(3, 2)
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(3):
    optimizer.zero_grad()
    FAILS
    optimizer.step()
"""


@pytest.mark.parametrize(
    "fails",
    [
        "net(torch.ones(4, 3)).detach().sum().backward()",
        pytest.param(
            "nn.functional.cross_entropy(net(torch.ones(4, 3)), torch.tensor([0, 1, 5, 0]))",
            marks=pytest.mark.slow,
        ),
        pytest.param("net(torch.ones(4, 2)).sum().backward()", marks=pytest.mark.slow),
    ],
)
def test_a_traceback_of_the_first_step_is_the_interpreters(tmp_path: Path, fails: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(FAILING.replace("FAILS", fails))
    bare, watched = run(sys.executable, str(script)), run(*DOCTOR, str(script))
    assert b"Traceback" in bare.stderr
    assert watched.stderr.startswith(bare.stderr)
    assert len(watched.stderr.splitlines()) == len(bare.stderr.splitlines()) + 1  # the verdict


WARNING = """\
guess = net(torch.ones(4, 3))
    loss = nn.functional.mse_loss(guess, torch.ones(4, 1))
    loss = loss + nn.functional.mse_loss(guess, torch.zeros(4, 1))
    (loss + torch.ones(2, 3, 4).T.sum()).backward()"""


@pytest.mark.slow
def test_a_warning_of_the_first_steps_names_the_script_s_line_as_often(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(FAILING.replace("FAILS", WARNING))
    bare, watched = run(sys.executable, str(script)), run(*DOCTOR, str(script))
    assert bare.stderr.count(b"UserWarning") == 3
    assert watched.stderr.startswith(bare.stderr)
    assert b"Warning" not in watched.stderr[len(bare.stderr) :]


def test_a_module_is_run_as_python_does(tmp_path: Path) -> None:
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "go.py").write_text(
        "import sys\n"
        "print(sys.argv, __name__, __spec__.name, __package__, sys.path[0])\n"
        "sys.exit(4)\n"
    )
    words = ("-m", "package.go", "--lr", "1")
    runs = [
        subprocess.run([*start, *words], capture_output=True, cwd=tmp_path, check=False)
        for start in ((sys.executable,), DOCTOR)
    ]
    assert runs[0].stdout == runs[1].stdout
    assert [done.returncode for done in runs] == [4, 4]


def test_nothing_of_ours_is_written_beside_the_script(tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text("value = 1\n")
    (tmp_path / "script.py").write_text("import other\nprint(other.value, other.__loader__)\n")
    done = subprocess.run([*DOCTOR, "script.py"], capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 5  # it trains nothing
    assert b"SourceFileLoader" in done.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other.py", "script.py"]


NONE_PASSED_BACK = """
import torch
from torch import nn

class Both(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.set_materialize_grads(False)
        return x * 2, x * 3

    @staticmethod
    def backward(ctx, first, second):
        return None if second is None else second * 3

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        out = self.first(x)
        return out, self.second(x) + Both.apply(out)[0]

torch.manual_seed(0)
net = Net()
optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
for step in range(4):
    optimizer.zero_grad()
    out, other = net(torch.randn(8, 4))
    passed = Both.apply(out)[0]
    (passed.sum() + other.pow(2).mean()).backward()
    optimizer.step()
print("done", net.second.weight.sum().item())
"""


@pytest.mark.slow
def test_a_function_that_passes_no_gradient_back_is_no_trouble(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(NONE_PASSED_BACK)
    bare, watched = run(sys.executable, str(script)), run(*DOCTOR, str(script))
    assert bare.stdout.startswith(b"done")
    assert watched.stdout == bare.stdout
