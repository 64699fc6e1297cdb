"""Which kinds of output a module can return, and an example of each to try a hook with."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from traindoctor.instruments.modules import tensors_of
from traindoctor.target.source import class_body, last_name
from traindoctor.target.usercode import is_user_class

if TYPE_CHECKING:
    import torch

KINDS = ("tensor", "tuple", "ModelOutput", "dict")


def kind_of_output(value: Any) -> str:
    """Return which of the four kinds a value is, or its type's name."""
    import torch

    if isinstance(value, torch.Tensor):
        return "tensor"
    if isinstance(value, tuple | list):
        return "tuple"
    if isinstance(value, dict):
        return "dict" if type(value) is dict else "ModelOutput"
    return type(value).__name__


def examples(module: torch.nn.Module, seen: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return an example of each kind of output, and the kinds that the module can return.

    A kind counts as possible where it was seen, where a `return` of the module's own forward
    makes it, and for a transformers model (`return_dict`). A plain layer of torch returns the
    kind that it returned, and nothing else is tried with it.

    Args:
        module: the module that a hook is on.
        seen: what it returned, or None where it was never called.
    """
    tensor = next(iter(tensors_of(seen)), None)
    tensor = _placeholder() if tensor is None else tensor.detach()
    found = {} if seen is None else {kind_of_output(seen): seen}
    if _is_torchs(module):
        return found, tuple(found)
    for kind, example in _returned(module, tensor):
        found.setdefault(kind, example)
    possible = tuple(found)
    if _is_pretrained(module):
        possible = tuple(dict.fromkeys([*possible, "ModelOutput", "tuple"]))
    for kind, example in _plain(tensor):
        found.setdefault(kind, example)
    return {kind: found[kind] for kind in KINDS if kind in found}, possible


def _placeholder() -> torch.Tensor:
    """Stand in for the output of a module that was never called."""
    import torch

    return torch.zeros(2, 3, 4)


def _plain(tensor: torch.Tensor) -> Iterator[tuple[str, Any]]:
    yield "tensor", tensor
    yield "tuple", (tensor,)
    if "transformers" in sys.modules:  # nobody returns its outputs otherwise
        from transformers.modeling_outputs import BaseModelOutput

        yield "ModelOutput", BaseModelOutput(last_hidden_state=tensor)
    yield "dict", {"last_hidden_state": tensor}


def _returned(module: torch.nn.Module, tensor: torch.Tensor) -> Iterator[tuple[str, Any]]:
    """Yield what the `return` statements of a user's forward make, tensors standing in."""
    if not is_user_class(type(module)):
        return
    names = getattr(type(module).forward, "__globals__", {})
    for value in _return_values(type(module)):
        if isinstance(value, ast.Tuple):
            yield "tuple", (tensor,) * len(value.elts)
        elif isinstance(value, ast.Dict):
            keys = [str(key.value) for key in value.keys if isinstance(key, ast.Constant)]
            yield "dict", dict.fromkeys(keys, tensor)
        elif isinstance(value, ast.Call):
            keys = [item.arg for item in value.keywords if item.arg]
            kind = names.get(last_name(value.func))
            if last_name(value.func) == "dict":
                yield "dict", dict.fromkeys(keys, tensor)
            elif isinstance(kind, type) and issubclass(kind, dict):
                yield "ModelOutput", kind(**dict.fromkeys(keys, tensor))


def _return_values(kind: type) -> Iterator[ast.expr]:
    owner = next((base for base in kind.__mro__ if "forward" in vars(base)), None)
    body = class_body(owner) if owner and is_user_class(owner) else None
    for node in body.body if body else ():
        if isinstance(node, ast.FunctionDef) and node.name == "forward":
            yield from (
                inner.value
                for inner in ast.walk(node)
                if isinstance(inner, ast.Return) and inner.value is not None
            )


def _is_torchs(module: torch.nn.Module) -> bool:
    return type(module).__module__.startswith("torch.")


def _is_pretrained(module: torch.nn.Module) -> bool:
    transformers = sys.modules.get("transformers")
    base = getattr(transformers, "PreTrainedModel", None) if transformers else None
    return base is not None and isinstance(module, base)
