"""What another process raised is read from the text that comes back of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from traindoctor.target.other_process import raised_elsewhere

TEXT = """

-- Process 1 terminated with the following error:
Traceback (most recent call last):
  File "{library}", line 87, in _wrap
    fn(i, *args)
  File "{script}", line 2, in train
    loss = criterion(model(x), y)
                     ^^^^^^^^
  File "{library}", line 134, in forward
    return F.linear(input, self.weight)
           ^^^^^^^^^^^^^^^^^^^^^^^^^^^^
{error}
"""


@pytest.fixture
def text(tmp_path: Path) -> str:
    """Return a message whose only user file is a script of two lines."""
    script = tmp_path / "train.py"
    script.write_text("def train():\n    loss = criterion(model(x), y)\n")
    library = tmp_path / "site-packages" / "torch" / "spawn.py"
    return TEXT.replace("{library}", str(library)).replace("{script}", str(script))


def test_type_message_and_the_users_innermost_line(text: str) -> None:
    found = raised_elsewhere(text.replace("{error}", "RuntimeError: shapes (48x22 and 21x256)"))
    assert found is not None
    assert (found.type_name, found.message) == ("RuntimeError", "shapes (48x22 and 21x256)")
    assert (found.place.line, found.place.text) == (2, "loss = criterion(model(x), y)")


def test_a_message_of_several_lines_is_whole_and_a_module_is_left_out(text: str) -> None:
    found = raised_elsewhere(text.replace("{error}", "torch.OutOfMemoryError: no\nmemory: left"))
    assert found is not None
    assert (found.type_name, found.message) == ("OutOfMemoryError", "no\nmemory: left")


def test_an_error_may_say_nothing(text: str) -> None:
    found = raised_elsewhere(text.replace("{error}", "AssertionError"))
    assert found is not None
    assert (found.type_name, found.message) == ("AssertionError", "")


def test_any_other_message_is_none() -> None:
    assert raised_elsewhere("process 0 terminated with exit code 1") is None
