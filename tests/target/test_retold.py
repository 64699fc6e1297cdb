"""What was raised first is read from the text in which another exception tells of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from traindoctor.target.retold import retold

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
    found = retold(text.replace("{error}", "RuntimeError: shapes (48x22 and 21x256)"))
    assert found is not None
    assert (found.type_name, found.message) == ("RuntimeError", "shapes (48x22 and 21x256)")
    assert (found.place.line, found.place.text) == (2, "loss = criterion(model(x), y)")


def test_a_message_of_several_lines_is_whole_and_a_module_is_left_out(text: str) -> None:
    found = retold(text.replace("{error}", "torch.OutOfMemoryError: no\nmemory: left"))
    assert found is not None
    assert (found.type_name, found.message) == ("OutOfMemoryError", "no\nmemory: left")


def test_an_error_may_say_nothing(text: str) -> None:
    found = retold(text.replace("{error}", "AssertionError"))
    assert found is not None
    assert (found.type_name, found.message) == ("AssertionError", "")


def test_any_other_message_is_none() -> None:
    assert retold("process 0 terminated with exit code 1") is None


def test_what_a_compiler_met_while_it_traced(text: str) -> None:
    script = text.partition('File "')[2]
    frames = script.partition("Traceback")[2] or script
    message = (
        "RuntimeError when making fake tensor call\n"
        "  Explanation: Dynamo failed to run FX node with fake tensors: call_function linear(*()): "
        "got RuntimeError('a and b must have same reduction dim, but got [2, 9] X [8, 2].')\n"
        "  Hint: Your code may result in an error.\n\nfrom user code:\n" + '  File "' + frames
    )
    found = retold(message)
    assert found is not None
    assert found.type_name == "RuntimeError"
    assert found.message == "a and b must have same reduction dim, but got [2, 9] X [8, 2]."
    assert found.place.line == 2
