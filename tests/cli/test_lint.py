"""What is told from source alone: each pattern, its near miss, and what lint leaves alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from traindoctor.cli.main import main
from traindoctor.probing.registry import all_probes
from traindoctor.trace import SourceRow

ROOT = Path(__file__).parents[2]
LOOP = "def train(model, loader, optimizer):\n    total = 0\n    for x, y in loader:\n"
CLEAR = "        optimizer.zero_grad()\n"
STEP = "        loss = model(x)\n        loss.backward()\n        optimizer.step()\n"
MODULE = "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"


def found(text: str) -> list[str]:
    row = SourceRow(file="train.py", text=text)
    return [f.code for probe in all_probes() if probe.lint for f in probe.lint(row)]


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (LOOP + CLEAR + STEP, []),
        (LOOP + STEP, ["TD208"]),
        (LOOP + "        optimizer.zero_grad\n" + STEP, ["TD208"]),  # never called
        (LOOP + STEP + "        for p in model.parameters(): p.grad = None\n", []),
        (LOOP + CLEAR + STEP + "        total += loss\n", ["TD302"]),
        (LOOP + CLEAR + STEP + "        total += loss.item()\n", []),
        (LOOP + CLEAR + STEP + "        total += float(loss)\n", []),
        (LOOP + CLEAR + STEP + "        total += loss\n    total.backward()\n", []),
        (LOOP + CLEAR + STEP + "        break\n", ["TD809"]),
        (LOOP + CLEAR + STEP + "        if smoke:\n            break\n", []),
        (LOOP + CLEAR + STEP + "    return total\n", []),
        (LOOP + CLEAR + "        model(x).item().backward()\n", ["TD101"]),
        (LOOP + CLEAR + STEP + "        print(loss.item())\n", []),
        ("loss = F.cross_entropy(F.softmax(z, -1), y)\n", ["TD107"]),
        ("loss = F.cross_entropy(z.softmax(-1), y)\n", ["TD107"]),
        ("loss = F.cross_entropy(z, y.softmax(-1))\n", []),  # soft targets
        ("loss = F.nll_loss(F.log_softmax(z, -1), y)\n", []),
        ("c = nn.CrossEntropyLoss()\nloss = c(torch.softmax(z, -1), y)\n", ["TD107"]),
        ("loss = nn.BCEWithLogitsLoss()(torch.sigmoid(z), y)\n", ["TD107"]),
        ("loss = nn.BCELoss()(torch.sigmoid(z), y)\n", []),
        (MODULE + "        self.a = [nn.Linear(1, 1) for _ in range(3)]\n", ["TD709"]),
        (MODULE + "        self.a = {'a': nn.Linear(1, 1)}\n", ["TD709"]),
        (MODULE + "        self.a = nn.ModuleList([nn.Linear(1, 1)])\n", []),
        (MODULE + "        a = [nn.Linear(1, 1)]\n        self.a = nn.Sequential(*a)\n", []),
        ("class Plain:\n    def __init__(self):\n        self.a = [nn.Linear(1, 1)]\n", []),
        ("this is not python", []),
    ],
)
def test_a_pattern_speaks_and_its_near_miss_is_silent(text, codes):
    assert found(text) == codes


@pytest.mark.parametrize(
    ("handler", "codes"),
    [
        ("except Exception:\n            continue\n", ["TD801"]),
        ("except:\n            pass\n", ["TD801"]),
        ("except OutOfMemoryError:\n            continue\n", []),
        ("except Exception as e:\n            print(e)\n            raise\n", []),
        ("except Exception as e:\n            log.warning(e)\n", []),
    ],
)
def test_only_a_silent_handler_of_everything_is_told(handler, codes):
    body = CLEAR + "        try:\n            model(x).backward()\n            optimizer.step()\n"

    assert found(LOOP + body + "        " + handler) == codes


def test_healthy_programs_are_left_alone():
    """The swallowing handler of its rule's near miss stands there: nothing in that run raises."""
    told = {
        str(path.relative_to(ROOT)): found(path.read_text(encoding="utf-8"))
        for pattern in ("fixtures/**/healthy.py", "fixtures/**/fixed.py", "examples/**/train.py")
        for path in ROOT.glob(pattern)
    }

    assert len(told) > 50
    assert {name: codes for name, codes in told.items() if codes} == {
        "fixtures/faults/swallowed-exception/healthy.py": ["TD801"]
    }


def test_lint_reads_folders_without_torch_and_fails_on_what_it_finds(tmp_path: Path):
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "train.py").write_text(LOOP + STEP)
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "other.py").write_text(LOOP + STEP)
    program = (
        "import sys; from traindoctor.cli.main import main\n"
        "sys.argv = ['traindoctor', 'lint', '--format', 'github']\n"
        "try: main()\n"
        "except SystemExit as end: code = end.code\n"
        "heavy = {'torch', 'pandas', 'numpy', 'transformers'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    words = [sys.executable, "-c", program]
    ended = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.startswith("::warning file=deep/train.py,line=6,")
    assert ended.stdout.count("\n") == 1


def test_nothing_found_is_one_calm_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "train.py").write_text(LOOP + CLEAR + STEP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["traindoctor", "lint", "train.py", "-q"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("1 file read, nothing found; ")
