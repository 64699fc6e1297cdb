"""From a reference to a setup, as `python file.py` would find it; every failure is a sentence."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

from traindoctor.errors import TargetError
from traindoctor.target.reference import load

PROGRAM = """
from dataclasses import dataclass
import sys
from pathlib import Path
import torch
from torch import nn
from torch.utils.data import DataLoader
import {helper}

@dataclass
class Data:
    size: int = 8
    def __len__(self): return self.size
    def __getitem__(self, index): return torch.ones(2) * index, torch.zeros(1)

ARGV = list(sys.argv)

def setup(width: int = 1, bias: bool = True, name="x", rate: "float | None" = None, out=None):
    setup.got = (width, bias, name, rate, out, list(sys.argv))
    return nn.Linear(2, width, bias=bias), DataLoader(Data(), 4), None, nn.MSELoss()

def wants(path: Path, depth): return path, depth
def raises(): return helper_fails()
def helper_fails(): raise ValueError("no such corpus")
def leaves(): sys.exit(2)
def forgets(): nn.Linear(1, 1)
def model(width: int = 1): return nn.Linear(2, width)
def data(batch: int = 2): return DataLoader(Data(), batch)
READY = nn.Linear(1, 1)
VALUE = 3

if __name__ == "__main__":
    raise SystemExit("ran as a script")
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A little project with a sibling module; the interpreter is left as it was."""
    helper = f"helper_of_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{helper}.py").write_text("X = 1\n")
    file = tmp_path / "train_it.py"
    file.write_text(PROGRAM.format(helper=helper))
    monkeypatch.setattr(sys, "path", list(sys.path))
    modules = dict(sys.modules)
    yield file
    for name in set(sys.modules) - set(modules):
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def failure(
    reference: str | None, *, model: str | None = None, data: str | None = None, **arguments: str
) -> str:
    with pytest.raises(TargetError) as caught:
        load(reference, arguments, model, data)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_a_file_is_loaded_with_its_siblings(program: Path) -> None:
    setup = load(f"{program}:setup", {})
    assert setup.kind == "tuple"
    assert setup.reference == f"{program}:setup"
    assert setup.factory.file == str(program)
    assert setup.factory.text.startswith("def setup(")


def test_setup_is_the_default(program: Path) -> None:
    assert load(str(program), {}).kind == "tuple"


def test_its_classes_can_be_pickled_and_used_by_spawned_workers(program: Path) -> None:
    data = load(str(program), {}).loader.dataset
    assert pickle.loads(pickle.dumps(data)) == data
    loader = DataLoader(data, 4, num_workers=1, multiprocessing_context="spawn")
    assert next(iter(loader))[0].shape == (4, 2)


def test_our_command_line_is_hidden_from_it(program: Path) -> None:
    before = sys.argv
    load(str(program), {})
    module = sys.modules["train_it"]
    assert [str(program)] == module.ARGV
    assert module.setup.got[-1] == [str(program)]
    assert sys.argv is before


def test_arguments_are_converted_by_annotation_or_default(program: Path) -> None:
    texts = {"width": "3", "bias": "false", "name": "7", "rate": "1e-3", "out": "[1, 2]"}
    load(str(program), texts)
    assert sys.modules["train_it"].setup.got[:-1] == (3, False, "7", 1e-3, [1, 2])


def test_a_module_is_loaded_from_the_working_directory(
    program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(program.parent)
    assert load("train_it:setup", {}).kind == "tuple"


def test_two_references_make_one_setup(program: Path) -> None:
    setup = load(None, {"width": "2", "batch": "4"}, f"{program}:model", f"{program}:data")
    assert setup.model.out_features == 2
    assert setup.loader.batch_size == 4


def test_a_file_named_like_a_library_does_not_replace_it(program: Path) -> None:
    clash = program.parent / "torch.py"
    clash.write_text("def setup(): return None\n")
    before = sys.modules["torch"]
    assert "forget `return`" in failure(str(clash))
    assert sys.modules["torch"] is before


def test_a_missing_file_names_the_nearest(program: Path) -> None:
    wrong = program.parent / "train_its.py"
    assert "did you mean 'train_it.py'?" in failure(f"{wrong}:setup")


def test_a_missing_folder_is_told(program: Path) -> None:
    assert "no file" in failure("nowhere/at/all.py:setup")


def test_a_folder_names_the_files_in_it(program: Path) -> None:
    message = failure(str(program.parent))
    assert "is a folder" in message
    assert "train_it.py" in message


def test_a_missing_function_names_the_nearest(program: Path) -> None:
    assert "did you mean 'setup'?" in failure(f"{program}:setupp")


def test_without_a_default_the_functions_are_named(tmp_path: Path) -> None:
    file = tmp_path / "no_default.py"
    file.write_text("def build(): pass\ndef _hidden(): pass\n")
    assert failure(str(file)).endswith(f"name one of `{file}:build`")


@pytest.mark.parametrize(("name", "kind"), [("VALUE", "an int"), ("READY", "a Linear")])
def test_what_is_not_a_function_is_told(program: Path, name: str, kind: str) -> None:
    assert f"is {kind}, not a function" in failure(f"{program}:{name}")


def test_a_raising_factory_shows_the_users_own_frames(program: Path) -> None:
    with pytest.raises(TargetError, match="raised ValueError: no such corpus") as caught:
        load(f"{program}:raises", {})
    details = caught.value.details
    assert "in raises" in details
    assert "in helper_fails" in details
    assert "traindoctor" not in details


def test_a_factory_that_exits_is_told(program: Path) -> None:
    assert "ended the program with sys.exit(2)" in failure(f"{program}:leaves")


def test_a_factory_without_return_is_told(program: Path) -> None:
    assert "did you forget `return`?" in failure(f"{program}:forgets")


def test_wanted_arguments_are_named_with_their_flag(program: Path) -> None:
    message = failure(f"{program}:wants", depth="1")
    assert "wants path; pass --arg path=VALUE" in message


def test_an_unknown_argument_names_the_nearest(program: Path) -> None:
    assert "did you mean 'width'?" in failure(str(program), widht="3")
    assert "it takes no arguments" in failure(f"{program}:raises", depth="3")
    assert "neither" in failure(None, model=f"{program}:model", data=f"{program}:data", x="1")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [("width", "wide", "is not an int"), ("rate", "x", "not a float"), ("bias", "2", "not true")],
)
def test_what_does_not_convert_is_told(program: Path, name: str, text: str, says: str) -> None:
    assert says in failure(str(program), **{name: text})


def test_a_syntax_error_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "broken_syntax.py"
    file.write_text("x = 1\ndef setup(:\n    pass\n")
    message = failure(str(file))
    assert f"{file}:2" in message
    assert "def setup(:" in message


def test_a_failing_import_is_told(tmp_path: Path) -> None:
    file = tmp_path / "lacks_module.py"
    file.write_text("import not_there_at_all\n")
    assert "No module named 'not_there_at_all'" in failure(str(file))
    assert "lacks_module" not in sys.modules


def test_a_relative_import_names_the_way_out(tmp_path: Path) -> None:
    file = tmp_path / "relative.py"
    file.write_text("from . import sibling\n")
    assert "name it as a module" in failure(str(file))


def test_a_missing_module_names_the_nearest(program: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(program.parent)
    assert "did you mean 'train_it.py'?" in failure("train_itt:setup")


@pytest.mark.parametrize(
    ("reference", "model", "data"),
    [(None, None, None), (None, "m.py", None), (None, None, "d.py"), ("t.py", "m.py", None)],
)
def test_half_a_target_is_refused(
    reference: str | None, model: str | None, data: str | None
) -> None:
    assert "--model" in failure(reference, model=model, data=data)


def test_setup_is_importable_without_torch() -> None:
    code = (
        "import sys, traindoctor.target.setup, traindoctor.target.reference, "
        "traindoctor.target.batches, traindoctor.target.calling, traindoctor.target.snapshot; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
