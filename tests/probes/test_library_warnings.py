"""Each text of the table is what the library says, and means what the table says it means."""

from __future__ import annotations

import inspect
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from tests.probes.asking import asks
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset, random_split

from traindoctor.probing import Finding, NoOptions, Severity
from traindoctor.trace import (
    ParameterRow,
    Place,
    SetupRow,
    SourceRow,
    Trace,
    WarningRow,
)
from traindoctor_probes._known_warnings import KNOWN
from traindoctor_probes.library_warnings import examine

ONE = torch.ones(2, 2)
BY_NAME = {known.name: known for known in KNOWN}


class Wordy(nn.Module):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"y": (x * 2).exp()}


class Endless(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        yield from range(6)

    def __len__(self) -> int:
        return 4


def clip() -> None:
    parameters = nn.Linear(2, 2).parameters()
    list(parameters)
    nn.utils.clip_grad_norm_(parameters, 1.0)


def schedule() -> Any:
    optimizer = torch.optim.SGD([nn.Parameter(ONE.clone())], 0.1)
    return torch.optim.lr_scheduler.StepLR(optimizer, 1)


def hooked(module: nn.Module, register: str) -> None:
    getattr(module, register)(lambda *_: None)
    output = module(ONE.clone().requires_grad_())
    (output["y"] if isinstance(output, dict) else output).sum().backward()


def read_only() -> None:
    array = np.ones(3)
    array.flags.writeable = False
    torch.from_numpy(array)


def count() -> None:
    loader = DataLoader(Endless(), batch_size=1)
    assert len(loader) == 4
    list(loader)


TORCH: dict[str, Callable[[], Any]] = {
    "target-broadcast": lambda: F.mse_loss(torch.ones(4, 1), torch.ones(4)),
    "scheduler-before-optimizer": lambda: schedule().step(),
    "clipping-nothing": clip,
    "gradient-of-no-leaf": lambda: (ONE.clone().requires_grad_() * 2).grad,
    "iterable-longer-than-it-says": count,
    "single-layer-dropout": lambda: nn.LSTM(2, 2, dropout=0.5),
    "softmax-over-a-guess": lambda: F.log_softmax(ONE),
    "kl-mean": lambda: F.kl_div(ONE.log(), ONE),
    "deviation-of-one": lambda: torch.ones(1).std(),
    "imaginary-part-lost": lambda: torch.ones(2, dtype=torch.cfloat).to(torch.float32),
    "channel-dropout-on-vectors": lambda: F.dropout2d(torch.ones(2, 3, 4)),
    "empty-split": lambda: random_split(range(3), [0.9, 0.1]),  # type: ignore[arg-type]
    "output-resized": lambda: torch.add(ONE, ONE, out=torch.ones(3)),
    "hook-misses-gradients": lambda: hooked(
        nn.Sequential(nn.Linear(2, 2), nn.ReLU()), "register_backward_hook"
    ),
    "hook-never-called": lambda: hooked(Wordy(), "register_full_backward_hook"),
    "anomaly-mode-left-on": torch.autograd.detect_anomaly,
    "nothing-initialised": lambda: nn.Linear(0, 3),
    "last-rate-misread": lambda: schedule().get_lr(),
    "array-not-writable": read_only,
    "gradient-refers-to-itself": lambda: nn.Linear(2, 1)(ONE).sum().backward(create_graph=True),
}


def trainer(folder: Path, data: Any = (), **more: Any) -> Any:
    import transformers

    config = SimpleNamespace(problem_type="multi_label_classification", to_json_string=str)
    model = nn.Linear(2, 1)
    model.config = config  # type: ignore[assignment]
    model.forward = lambda x=None: {"loss": model.weight.sum()}  # type: ignore[method-assign]
    own = {"compute_loss_func"} & set(more)
    arguments = transformers.TrainingArguments(
        str(folder),
        max_steps=2,
        use_cpu=True,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        **{key: value for key, value in more.items() if key not in own},
    )
    return transformers.Trainer(
        model, arguments, train_dataset=data, **{key: more[key] for key in own}
    )


class Empty(IterableDataset[int]):
    def __iter__(self) -> Iterator[int]:
        return iter(())


def tokenized(_: Path) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(WordLevel({"a": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=2)("a a a")


def generated(_: Path) -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=8, n_positions=8, n_embd=4, n_layer=1, n_head=1, bos_token_id=1, eos_token_id=2
    )
    ids = torch.tensor([[3, 0], [3, 4]])
    GPT2LMHeadModel(config).generate(
        ids, attention_mask=(ids > 0).long(), pad_token_id=0, max_new_tokens=1
    )


def loaded(folder: Path, **keys: Any) -> None:
    import transformers

    result = SimpleNamespace(**{"missing_keys": [], "unexpected_keys": []} | keys)
    model = SimpleNamespace(_keys_to_ignore_on_save=None)
    transformers.Trainer._issue_warnings_after_load(SimpleNamespace(model=model), result)


TRANSFORMERS: dict[str, Callable[[Path], Any]] = {
    "no-sample-in-epoch": lambda folder: trainer(
        folder, Empty(), accelerator_config={"dispatch_batches": False}
    ).train(),
    "sequence-too-long": tokenized,
    "padded-on-the-wrong-side": generated,
    "checkpoint-lacks-keys": lambda folder: loaded(folder, missing_keys=["head.weight"]),
    "checkpoint-has-more-keys": lambda folder: loaded(folder, unexpected_keys=["head.bias"]),
    "smoothing-dropped": lambda folder: trainer(folder, label_smoothing_factor=0.1),
    "loss-without-labels": lambda folder: trainer(
        folder, compute_loss_func=lambda outputs, labels, **_: outputs["loss"]
    ).compute_loss(lambda **_: {"loss": torch.zeros(())}, {"x": ONE}),
}


@contextmanager
def heard() -> Iterator[list[str]]:
    """Collect what torch and transformers say while inside."""
    texts: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: texts.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("transformers")
    level, always = logger.level, torch.is_warn_always_enabled()
    logger.addHandler(handler)
    logger.setLevel(logging.WARNING)
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            yield texts
            texts += [str(item.message) for item in found]
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        torch.set_warn_always(always)


@pytest.mark.parametrize("name", TORCH)
def test_torch_says_it(name: str) -> None:
    with heard() as texts:
        TORCH[name]()
    assert name in {k.name for text in texts for k in KNOWN if re.search(k.text, text)}


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformers_says_it(name: str, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    with heard() as texts:
        TRANSFORMERS[name](tmp_path)
    assert name in {k.name for text in texts for k in KNOWN if re.search(k.text, text)}


def test_what_takes_several_devices_is_written_in_the_source() -> None:
    from torch.nn.parallel import _functions

    text = re.sub(r'"\s*"', "", inspect.getsource(_functions.Gather))
    assert re.search(BY_NAME["scalars-gathered"].text, text)


def test_every_entry_was_provoked() -> None:
    assert set(BY_NAME) == {*TORCH, *TRANSFORMERS, "scalars-gathered"}
    assert len(BY_NAME) == len(KNOWN)


LINE = Place("/user/train.py", 12, "train_step")
BROADCAST = "Using a target size (torch.Size([{}])) that is different to the input size "
SIZES = BROADCAST + "(torch.Size([{}])). This will likely lead to incorrect results"
ORDER = "Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch 1.1.0 …"


def found(*messages: str, step: Trace | None = None, source: str = "", **run: Any) -> list[Finding]:
    rows = tuple(
        WarningRow(category="UserWarning", message=message, place=LINE, count=6)
        for message in messages
    )
    others = {"short_run": Trace(warnings=rows, **run)}
    files = Trace(source=(SourceRow(file="/user/train.py", text=source),))
    return list(examine(asks(step, **others, read_source=files), NoOptions()))


def test_a_known_warning_is_told_at_the_line_that_ran() -> None:
    (finding,) = found(SIZES.format("32", "32, 1"))
    assert (finding.code, finding.severity) == ("TD807", Severity.ERROR)
    assert (finding.location.line, finding.title) == (
        12,
        "A loss compares every prediction with every target",
    )
    assert finding.message.startswith("torch warned 6 times: Using a target size")


def test_warnings_of_one_kind_are_one_finding_and_of_two_kinds_are_two() -> None:
    both = found(SIZES.format("32", "32, 1"), SIZES.format("16", "16, 1"), ORDER)
    assert len(both) == 2
    assert len({finding.fingerprint for finding in both}) == 2


def test_a_warning_of_the_first_step_alone_is_heard_too() -> None:
    row = WarningRow(category="UserWarning", message=ORDER, place=LINE)
    assert len(found(step=Trace(warnings=(row,)))) == 1


@pytest.mark.parametrize(
    "message",
    [
        "Creating a tensor from a list of numpy.ndarrays is extremely slow. Please consider …",
        "`torch.cuda.amp.autocast(args...)` is deprecated.",
        SIZES.format("1", "32, 1"),  # one label for all: a GAN's
        SIZES.format("32, 1", "32, 3"),  # meant: a weight for each row
    ],
)
def test_what_means_nothing_is_silent(message: str) -> None:
    assert found(message) == []


def test_a_scaler_that_skips_its_first_steps_is_no_wrong_order() -> None:
    assert len(found(ORDER)) == 1
    assert found(ORDER, setup=SetupRow(has_scaler=True)) == []
    assert found(ORDER, source="scaler = torch.amp.GradScaler()") == []


def test_keys_that_are_tied_are_not_missing() -> None:
    message = "There were missing keys in the checkpoint model loaded: ['lm_head.weight']."
    tied = ParameterRow(name="wte.weight", also_named=("lm_head.weight",))
    assert len(found(message)) == 1
    assert found(message, parameters=(tied,)) == []
