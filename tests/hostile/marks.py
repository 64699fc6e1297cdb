"""What an examination must leave as it was: the model, torch, and the process."""

from __future__ import annotations

import gc
import importlib
import os
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch

from traindoctor.target.patches import UNSEEN
from traindoctor.target.usercode import is_ours

OWNERS = (
    "torch",
    "torch.Tensor",
    "torch._C._TensorBase",
    "torch.autograd",
    "torch.autograd.graph",
    "torch.autograd.Function",
    "torch.nn.Module",
    "torch.nn.Parameter",
    "torch.nn.modules.module",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.utils",
    "torch.nn.utils.clip_grad",
    "torch.nn.utils.rnn",
    "torch.nn.parallel.DataParallel",
    "torch.nn.parallel.DistributedDataParallel",
    "torch.optim.Optimizer",
    "torch.optim.optimizer",
    "torch.optim.Adam",
    "torch.optim.AdamW",
    "torch.optim.SGD",
    "torch.optim.lr_scheduler",
    "torch.optim.lr_scheduler.LRScheduler",
    "torch.amp.autocast",
    "torch.amp.GradScaler",
    "torch.distributed",
    "torch.utils.checkpoint",
    "torch.utils.data",
    "torch.utils.data.DataLoader",
    "torch.utils.data.dataloader._BaseDataLoaderIter",
    "torch.serialization",
    "torch.random",
    "builtins",
    "os",
    "random",
    "sys",
    "numpy.random",
    "warnings",
    "logging.Logger",
    "multiprocessing.process.BaseProcess",
)
GLOBAL_HOOKS = "torch.nn.modules.module", "torch.optim.optimizer"
PASSING = {
    "last_exc",
    "last_value",
    "last_type",
    "last_traceback",
    "argv",
    "stdin",
    "__warningregistry__",
}


def found(path: str) -> Any:
    """Return what a dotted path names."""
    names = path.split(".")
    for number in range(len(names), 0, -1):
        try:
            owner: Any = importlib.import_module(".".join(names[:number]))
        except ImportError:
            continue
        for name in names[number:]:
            owner = getattr(owner, name)
        return owner
    raise LookupError(path)


def spaces() -> dict[str, dict[str, Any]]:
    """Return what stands under every name of what is often patched."""
    return {path: dict(vars(found(path))) for path in OWNERS}


def put_back(before: dict[str, dict[str, Any]]) -> None:
    """Undo what user code has patched, and we may have."""
    for path, names in before.items():
        owner, now = found(path), vars(found(path))
        for name, value in names.items():
            if now.get(name) is not value:
                setattr(owner, name, value)
        for name in [name for name in now if name not in names and name not in PASSING]:
            if not isinstance(now[name], ModuleType):
                delattr(owner, name)


def ours_left(before: dict[str, dict[str, Any]]) -> list[str]:
    """Name what is ours under a name of torch's or the interpreter's that was not so before."""
    left = []
    for path, names in spaces().items():
        for name, value in names.items():
            if value is not before[path].get(name) and _is_ours(value):
                left.append(f"{path}.{name}")
            elif isinstance(value, dict) and name.endswith("_hooks") and path in GLOBAL_HOOKS:
                left += [f"{path}.{name}" for hook in value.values() if _is_ours(hook)]
    return left


def changed(before: dict[str, dict[str, Any]]) -> list[str]:
    """Name what differs in any way."""
    return [
        f"{path}.{name}"
        for path, names in spaces().items()
        for name in {*names, *before[path]} - PASSING
        if names.get(name) is not before[path].get(name)
        and not isinstance(names.get(name), ModuleType)  # imported since
    ]


def _is_ours(value: Any) -> bool:
    function = getattr(value, "__func__", value)
    if isinstance(function, FunctionType):
        file = function.__code__.co_filename
        return file == UNSEEN or is_ours(file)
    return type(value).__module__.startswith("traindoctor.")


def hooks_of(model: Any) -> dict[str, Any]:
    """Return every hook of a model, its modules and parameters, and what stands in instances."""
    marks: dict[str, Any] = {}
    for path, module in torch.nn.Module.named_modules(model):
        for name, value in vars(module).items():
            if name.endswith(("_hooks", "_hooks_with_kwargs", "_hooks_always_called")):
                marks[f"{path}:{name}"] = dict(value) if isinstance(value, dict) else value
        marks[f"{path}:names"] = sorted(vars(module))
        marks[f"{path}:class"] = type(module)
        for name, parameter in module._parameters.items():
            if parameter is not None:
                hooks = (parameter._backward_hooks, parameter._post_accumulate_grad_hooks)
                marks[f"{path}:{name}"] = [dict(h or {}) for h in hooks]
    return marks


def values_of(model: Any) -> dict[str, Any]:
    """Return the bytes of a model's tensors, and their modes."""
    state: dict[str, Any] = {}
    for path, module in torch.nn.Module.named_modules(model):
        state[f"{path}:training"] = module.training
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None and tensor.device.type == "cpu" and not _is_lazy(tensor):
                octets = tensor.detach().contiguous().view(torch.uint8).numpy().tobytes()
                state[f"{path}:{name}"] = (octets, tensor.requires_grad, tensor.dtype, id(tensor))
    return state


def _is_lazy(tensor: Any) -> bool:
    return isinstance(tensor, torch.nn.parameter.UninitializedTensorMixin)


def descriptors() -> set[str]:
    """Name what this process has open."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add(f"{entry.name} {os.readlink(entry)}")
        except OSError:  # the folder's own
            continue
    return found


def children() -> set[int]:
    """Return the processes that this one has started."""
    here = os.getpid()
    folder = Path(f"/proc/{here}/task")
    return {
        int(word) for task in folder.iterdir() for word in (task / "children").read_text().split()
    }


@contextmanager
def process_kept() -> Iterator[list[str]]:
    """Yield a list that tells afterwards what was left behind; the process is put back."""
    left: list[str] = []
    temporary = Path(tempfile.mkdtemp())  # that of others is in use
    usual, tempfile.tempdir = tempfile.tempdir, str(temporary)
    open_before, mine = descriptors(), children()
    threads = set(threading.enumerate())
    streams = sys.stdout, sys.stderr, sys.excepthook, sys.__stdout__
    state = os.getcwd(), list(sys.path), dict(os.environ), sys.getrecursionlimit()
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGALRM)}
    filters, tracer = list(warnings.filters), sys.gettrace()
    try:
        yield left
    finally:
        folder, path, environment, limit = state
        sys.setrecursionlimit(limit)
        sys.stdout, sys.stderr, sys.excepthook, sys.__stdout__ = streams  # type: ignore[misc]
        sys.path[:] = path
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        sys.settrace(tracer)
        torch.set_default_device(None)
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.use_deterministic_algorithms(False)
        torch.autograd.set_detect_anomaly(False)
        warnings.filters[:] = filters  # type: ignore[index]
        gc.enable()
        tempfile.tempdir = usual
        left += [f"file {item}" for item in temporary.iterdir()]
        shutil.rmtree(temporary)
        left += [f"process {item}" for item in children() - mine]
        left += [f"thread {t}" for t in set(threading.enumerate()) - threads if t.is_alive()]
        if descriptors() - open_before:
            gc.collect()
        left += [f"open {item}" for item in descriptors() - open_before]
