"""A factory is begun from source; what it has, `check` can load."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from traindoctor.cli.main import main
from traindoctor.scaffolding.factory import Factory, write_factory
from traindoctor.scaffolding.project import find_parts
from traindoctor.target.reference import load
from traindoctor.target.setup import as_setup

HEAD = """
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

WIDTH = 4

def data():
    return TensorDataset(torch.randn(64, WIDTH), torch.randint(0, 2, (64,)))

def train(net, loader, optimizer, epochs):
    for _ in range(epochs):
        for x, y in loader:
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()

"""
WHOLE = """
def main(args):
    test_loader = DataLoader(data(), batch_size=2)
    loader = DataLoader(data(), batch_size=8)
    hidden = 2 * WIDTH
    net = nn.Sequential(nn.Linear(WIDTH, hidden), nn.Linear(hidden, 2))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD([p for p in net.parameters()], lr={rate})
    train(net, loader, optimizer, 3)
"""


def written(folder: Path, text: str, name: str = "train.py") -> Factory:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return write_factory(find_parts([file]), [file], folder / "setup.py", folder)


@pytest.fixture
def fresh(monkeypatch):
    """Let each test import a `train` of its own."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("train", None)


@pytest.mark.parametrize("home", ["train.py", "src/train.py"])
def test_what_was_found_is_a_setup_that_loads(tmp_path, fresh, home):
    made = written(tmp_path, HEAD + WHOLE.format(rate=0.1), home)
    (tmp_path / "setup.py").write_text(made.text)

    setup = as_setup(load(f"{tmp_path / 'setup.py'}:setup", {}))

    assert made.missing == []
    assert setup.loader.batch_size == 8
    assert setup.optimizers[0].param_groups[0]["lr"] == 0.1
    assert type(setup.loss_fn).__name__ == "CrossEntropyLoss"


def test_a_statement_brings_those_before_it_and_names_its_line(tmp_path):
    lines = written(tmp_path, HEAD + WHOLE.format(rate=0.1)).text.splitlines()

    hidden = lines.index("    hidden = 2 * WIDTH")
    assert lines[hidden + 1].startswith("    net = nn.Sequential(nn.Linear(WIDTH, hidden)")
    assert lines[hidden + 1].endswith("# train.py:22")
    assert "from train import WIDTH, data" in lines


def test_what_is_not_known_is_left_to_complete(tmp_path):
    made = written(tmp_path, HEAD + WHOLE.format(rate="args.rate"))

    assert made.missing == ["args"]
    assert "    args = ...  # a parameter in train.py" in made.text.splitlines()


def test_a_loop_is_handed_over_if_its_parameters_can_be_filled(tmp_path):
    body = WHOLE.format(rate=0.1)

    assert "train_loop" not in written(tmp_path, HEAD + body).text  # it asks for `net`
    renamed = (HEAD + body).replace("net", "model")
    assert '"train_loop": train,' in written(tmp_path, renamed).text


HOLDER = """
class Fitter:
    def __init__(self, rate=None):
        self.width: int = 2 * WIDTH
        self.net = nn.Sequential(nn.Linear(WIDTH, self.width), nn.Linear(self.width, 2))
        self.loader, self.test_loader = self.loaders()
        self.net = self.net.to("cpu")
        self.criterion = nn.CrossEntropyLoss()
        self.rate = {rate}
        self.configure()

    def loaders(self):
        return DataLoader(data(), batch_size=8), DataLoader(data(), batch_size=2)

    def configure(self):
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=self.rate)
"""


def test_what_a_class_keeps_is_followed_from_method_to_method(tmp_path):
    made = written(tmp_path, HEAD + HOLDER.format(rate=0.1))

    assert made.missing == ["loaders"]
    assert [
        line.split("  #")[0].strip()
        for line in made.text.split("def setup():")[1].splitlines()
        if " = " in line
    ] == [
        "width = 2 * WIDTH",
        "net = nn.Sequential(nn.Linear(WIDTH, width), nn.Linear(width, 2))",
        "net = net.to('cpu')",
        "loaders = ...",
        "loader, test_loader = loaders()",
        "rate = 0.1",
        "optimizer = torch.optim.SGD(net.parameters(), lr=rate)",
        "criterion = nn.CrossEntropyLoss()",
    ]
    assert "    loaders = ...  # a method in train.py" in made.text.splitlines()


def test_a_class_with_its_loader_is_a_setup_that_loads(tmp_path, fresh):
    whole = HOLDER.replace("self.loaders()", "DataLoader(data(), batch_size=8), None")
    made = written(tmp_path, HEAD + whole.format(rate=0.1))
    (tmp_path / "setup.py").write_text(made.text)

    setup = as_setup(load(f"{tmp_path / 'setup.py'}:setup", {}))

    assert made.missing == []
    assert setup.loader.batch_size == 8
    assert len(setup.optimizers[0].param_groups[0]["params"]) == 4


def test_what_a_class_is_given_is_looked_for_where_it_is_built(tmp_path):
    text = (
        "class Fitter:\n    def __init__(self, model, rate):\n"
        "        self.model = model\n        self.rate = rate\n"
        "        self.opt = torch.optim.SGD(self.model.parameters(), lr=self.rate)\n\n"
        "def main():\n    model = nn.Linear(WIDTH, 2)\n    Fitter(model, 0.1)\n"
    )

    made = written(tmp_path, HEAD + text)

    assert made.missing == ["rate", "loader"]
    assert "    model = nn.Linear(WIDTH, 2)  # train.py:" in made.text


def test_a_parameter_is_its_default_and_one_without_is_left_to_complete_once(tmp_path):
    text = (
        "def train(model, rate=0.1, *, steps=None, momentum=-0.5):\n"
        "    optimizer = torch.optim.SGD(model.parameters(), rate, momentum, steps)\n"
    )

    made = written(tmp_path, HEAD + text)
    lines = made.text.splitlines()

    assert sorted(made.missing) == ["loader", "model", "steps"]
    assert "    rate = 0.1  # its default in train.py" in lines
    assert "    momentum = -0.5  # its default in train.py" in lines
    built = next(n for n, line in enumerate(lines) if line.startswith("    optimizer = "))
    assert lines.index("    model = ...  # a parameter in train.py") < built


def test_a_lightning_module_has_its_optimizers_itself(tmp_path):
    text = (
        "class Net(lightning.LightningModule):\n    def configure_optimizers(self):\n"
        "        optimizer = torch.optim.SGD(self.parameters(), lr=0.1)\n"
        "        return optimizer\n\ndef main():\n    model = Net()\n"
        "    loader = DataLoader(data())\n"
    )

    made = written(tmp_path, HEAD + text)

    assert made.missing == []
    assert "optimizer" not in made.text


def test_options_of_a_command_line_are_their_defaults(tmp_path, fresh, monkeypatch):
    text = HEAD.replace("import torch\n", "import argparse\nimport torch\n", 1) + (
        "def main():\n    parser = argparse.ArgumentParser()\n"
        "    group = parser.add_argument_group('rates')\n"
        "    group.add_argument('--rate', type=float, default=0.25)\n"
        "    args = parser.parse_args()\n"
        "    net = nn.Linear(WIDTH, 2)\n    loader = DataLoader(data())\n"
        "    optimizer = torch.optim.SGD(net.parameters(), lr=args.rate)\n"
    )
    made = written(tmp_path, text)
    (tmp_path / "setup.py").write_text(made.text)
    monkeypatch.setattr(sys, "argv", ["traindoctor", "check", "--rate", "what is not theirs"])

    setup = as_setup(load(f"{tmp_path / 'setup.py'}:setup", {}))

    assert made.missing == []
    assert setup.optimizers[0].param_groups[0]["lr"] == 0.25


def test_the_parts_of_a_module_are_its_own(tmp_path):
    text = (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        "        self.criterion = nn.CrossEntropyLoss()\n"
        "net = Net()\noptimizer = torch.optim.SGD(net.parameters())\n"
    )

    assert "criterion" not in written(tmp_path, HEAD + text).text


def test_a_name_that_is_built_in_steps_brings_them_all(tmp_path):
    text = (
        "def main():\n    net = nn.Linear(WIDTH, 2)\n    net = net.double()\n"
        "    optimizer = torch.optim.SGD(net.parameters())\n"
    )

    lines = written(tmp_path, HEAD + text).text.splitlines()

    first = lines.index("    net = nn.Linear(WIDTH, 2)")
    assert lines[first + 1].startswith("    net = net.double()")


def test_a_part_that_another_file_builds_is_imported_from_its_package(tmp_path, monkeypatch):
    package = tmp_path / "src" / "pack"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text(
        HEAD + "def loaders():\n    return DataLoader(data()), None\n"
    )
    text = (
        "import torch\nfrom torch import nn\nfrom .parts import loaders as made\n\n"
        "def main():\n    train_loader, _ = made()\n    model = nn.Linear(4, 2)\n"
        "    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)\n"
    )
    made = written(tmp_path, text, "src/pack/train.py")
    (tmp_path / "setup.py").write_text(made.text)
    monkeypatch.setattr(sys, "path", list(sys.path))

    setup = as_setup(load(f"{tmp_path / 'setup.py'}:setup", {}))

    assert made.missing == []
    assert "from pack.parts import loaders as made" in made.text.splitlines()
    assert len(setup.loader) == 64


def test_an_empty_project_gives_two_names_to_complete(tmp_path):
    assert written(tmp_path, "print('hello')").missing == ["model", "loader"]


@pytest.mark.parametrize(
    ("tail", "runs"),
    [
        ("net = nn.Linear(4, 2)\nfor x in []:\n    net(x).backward()\n", ["train.py"]),
        ("if __name__ == '__main__':\n    net(x).backward()\n", []),
    ],
)
def test_a_file_that_trains_when_imported_is_named(tmp_path, tail, runs):
    used = "net = Net()\noptimizer = torch.optim.SGD(net.parameters())\n"
    text = HEAD + "class Net(nn.Module):\n    pass\n" + used + tail

    assert written(tmp_path, text).runs_on_import == runs


def test_init_writes_a_file_and_never_writes_over_one(tmp_path, monkeypatch, capsys):
    (tmp_path / "train.py").write_text(HEAD + WHOLE.format(rate=0.1))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["traindoctor", "init"])

    codes = []
    for _ in range(2):
        with pytest.raises(SystemExit) as ended:
            main()
        codes.append(ended.value.code)

    out, err = capsys.readouterr()
    assert codes == [0, 2]
    assert "optimizer train.py:24" in out
    assert "there is a file traindoctor_setup.py already" in err
    assert (tmp_path / "traindoctor_setup.py").exists()


def test_a_trainer_is_handed_over_whole(tmp_path):
    text = (
        "from transformers import Trainer\n\ndef main():\n    net = build()\n"
        "    trainer = Trainer(model=net, train_dataset=data())\n    trainer.train()\n"
    )

    made = written(tmp_path, text)

    assert made.text.splitlines()[-1] == "    return trainer"
    assert made.missing == ["build", "data"]
