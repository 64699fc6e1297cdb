"""The documented programs fail as their authors told, and the mended ones learn."""

from __future__ import annotations

import importlib.util
import math
import re
import runpy
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

DOCUMENTS = Path(__file__).parents[2] / "fixtures" / "documents"
BACKWARD_TWICE = "Trying to backward through the graph a second time"
SIX_KEYS = {
    "image_mask", "num_images_per_sample", "task_types", "task_ids", "sample_indices", "metadata",
}  # fmt: skip


def script(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Run a program as `python name.py` does."""
    path = str(DOCUMENTS / f"{name}.py")
    monkeypatch.setattr("sys.argv", [path])
    runpy.run_path(path, run_name="__main__")


def numbers(text: str, label: str) -> list[float]:
    """Return what the log prints after a word: `loss 1.25`, `'loss': '1.25'`."""
    return [float(found) for found in re.findall(rf"\b{label}\W+(nan|[-\d.]+)", text)]


@cache
def program(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name.replace("/", "_"), DOCUMENTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(parts: dict[str, Any], epochs: int) -> None:
    loop = parts["train_loop"]
    known = loop.__code__.co_varnames[: loop.__code__.co_argcount]
    loop(**{name: (parts | {"epochs": epochs})[name] for name in known if name != "self"})


@pytest.mark.parametrize(
    ("name", "exception", "text"),
    [
        (
            "hooks_on_music_model/broken",
            AttributeError,
            "'BaseModelOutputWithPastAndCrossAttentions' object has no attribute 'shape'",
        ),
        ("audio_adapter/broken", RuntimeError, BACKWARD_TWICE),
        ("audio_adapter/broken_graph_kept", RuntimeError, BACKWARD_TWICE),
        ("audio_adapter/broken_copied_weights", RuntimeError, BACKWARD_TWICE),
        ("audio_adapter/broken_token_out_of_table", IndexError, "index out of range in self"),
        (
            "multimodal_collator/broken",
            TypeError,
            "object of type 'UMBRELLABatch' has no len()",
        ),
        (
            "multimodal_collator/broken_batch_without_len",
            TypeError,
            "object of type 'UMBRELLABatch' has no len()",
        ),
        (
            "multimodal_collator/broken_rejected_keys",
            TypeError,
            "LlavaForConditionalGeneration.forward() got an unexpected keyword argument",
        ),
        (
            "multimodal_collator/broken_six_dimensions",
            ValueError,
            "too many values to unpack (expected 4",
        ),
    ],
)
def test_a_broken_program_dies_of_what_its_author_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, exception: type[Exception], text: str
) -> None:
    with pytest.raises(exception, match=re.escape(text)):
        script(monkeypatch, name)


@pytest.mark.parametrize(
    ("name", "label", "share"),
    [
        ("hooks_on_music_model/fixed", "loss", 0.7),
        ("audio_adapter/fixed", "loss", 0.8),
        ("multimodal_collator/fixed", "loss", 0.6),
        ("silent_speech/fixed", "loss", 0.8),
        ("array_signal_trainer/fixed", "train", 0.3),
    ],
)
def test_a_mended_program_learns(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    label: str,
    share: float,
) -> None:
    script(monkeypatch, name)
    losses = numbers(capsys.readouterr().out, label)
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < share * losses[0]


def test_silent_speech_reports_a_loss_of_zero_and_leaves_the_weights_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    import torch

    parts = program("silent_speech/broken").setup()
    before = {name: p.clone() for name, p in parts["model"].named_parameters()}
    run(parts, epochs=2)
    assert numbers(capsys.readouterr().out, "loss") == [0.0, 0.0]
    assert all(torch.equal(p, before[name]) for name, p in parts["model"].named_parameters())


def test_vits_refuses_labels_and_gives_its_whole_synthesis_a_gradient_without_them() -> None:
    fixed = program("silent_speech/fixed")
    parts = fixed.setup()
    model, batch = parts["model"], next(iter(parts["loader"]))
    with pytest.raises(NotImplementedError):
        model(batch["input_ids"], labels=batch["waveform"])
    outputs = model(batch["input_ids"], attention_mask=batch["attention_mask"])
    fixed.mel_loss(outputs.waveform, batch["waveform"]).backward()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []


def test_zero_embedding_rows_make_every_loss_nan(capsys: pytest.CaptureFixture[str]) -> None:
    parts = program("audio_adapter/broken_zero_embeddings").setup()
    run(parts, epochs=1)
    assert all(math.isnan(loss) for loss in numbers(capsys.readouterr().out, "loss"))


def test_a_frozen_encoder_with_a_graph_trains_as_pre_encoded_audio_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    parts = program("audio_adapter/broken_frozen_with_graph").setup()
    encoder, batch = parts["model"].audio_encoder, next(iter(parts["loader"]))
    assert not any(p.requires_grad for p in encoder.parameters())
    _, style = parts["model"].encode_audio(batch["ytid"], batch["waveform"])
    assert style.grad_fn is not None
    run(parts, epochs=1)
    on_the_fly = numbers(capsys.readouterr().out, "loss")
    run(program("audio_adapter/fixed").setup(), epochs=1)
    assert numbers(capsys.readouterr().out, "loss") == pytest.approx(on_the_fly, rel=1e-3)


@pytest.mark.parametrize(("name", "is_initialised"), [("fixed", 1), ("broken_swallowed_expert", 0)])
def test_a_swallowed_exception_leaves_the_experts_random(name: str, is_initialised: int) -> None:
    import torch

    model = program(f"audio_adapter/{name}").setup()["model"]
    model._initialize_mot_experts_from_checkpoint()
    for adapter in model.adapters:
        same = torch.equal(adapter.expert.w1.weight, adapter.mlp.gate_proj.weight)
        assert same == bool(is_initialised)


def test_todays_llava_ignores_the_keys_that_it_once_refused() -> None:
    trainer = program("multimodal_collator/broken_ignored_keys").setup()
    batch = next(iter(trainer.get_train_dataloader()))
    kept = {name: batch[name] for name in batch.keys() if name not in SIX_KEYS}  # noqa: SIM118
    assert set(batch.keys()) - set(kept) == SIX_KEYS
    everything = trainer.model(**batch).loss
    assert everything.item() == trainer.model(**kept).loss.item()


def test_the_plain_trainer_learns_the_humans_turns_too() -> None:
    from transformers import Trainer

    plain = program("multimodal_collator/broken_plain_trainer").setup()
    own = program("multimodal_collator/fixed").setup()
    assert type(plain) is Trainer
    losses = [
        trainer.compute_loss(trainer.model, next(iter(trainer.get_train_dataloader()))).item()
        for trainer in (plain, own)
    ]
    assert abs(losses[0] - losses[1]) > 1e-3


def array_log(capsys: pytest.CaptureFixture[str], name: str) -> tuple[list[float], list[float]]:
    """Return two epochs' training and validation losses as the program prints them."""
    run(program(f"array_signal_trainer/{name}").setup(), epochs=2)
    text = capsys.readouterr().out
    return numbers(text, "train"), numbers(text, "val")


def test_the_array_trainer_stands_still_and_reports_a_quarter_of_its_loss(
    capsys: pytest.CaptureFixture[str],
) -> None:
    train, val = array_log(capsys, "broken")
    true, still = array_log(capsys, "broken_equal_eigenvalues")
    assert len(set(val + still)) == 1
    assert train == pytest.approx([7 / 26 * loss for loss in true], rel=0.1)


def test_a_loss_counted_on_steps_only_spoils_the_log_and_not_the_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    train, val = array_log(capsys, "broken_loss_in_step_branch")
    true, same = array_log(capsys, "fixed")
    assert val == same
    assert train == pytest.approx([7 / 26 * loss for loss in true], rel=0.2)


def test_equal_eigenvalues_have_no_gradient_unless_a_ramp_parts_them() -> None:
    import torch

    factor = torch.randn(16, 3, dtype=torch.complex64) * (torch.arange(16) < 12)[:, None]
    for name, is_finite in (("broken_equal_eigenvalues", False), ("fixed", True)):
        leaf = factor.clone().requires_grad_()
        projector = program(f"array_signal_trainer/{name}").signal_projector(leaf @ leaf.mH)
        projector.real[0, 1].backward()
        assert leaf.grad is not None
        assert bool(torch.view_as_real(leaf.grad).isfinite().all()) == is_finite


@pytest.mark.parametrize(
    ("name", "cut_off"),
    [("fixed", set()), ("broken_detached_prediction", {"head.factor.weight", "head.factor.bias"})],
)
def test_detaching_the_prediction_cuts_the_factor_off(name: str, cut_off: set[str]) -> None:
    parts = program(f"array_signal_trainer/{name}").setup()
    trainer = parts["train_loop"].__self__
    trainer.loss(next(iter(parts["loader"]))).backward()
    assert {n for n, p in parts["model"].named_parameters() if p.grad is None} == cut_off


@pytest.mark.parametrize(("name", "steps"), [("fixed", 7), ("broken_guard_skips_steps", 5)])
def test_the_guard_skips_two_of_seven_steps(name: str, steps: int) -> None:
    parts = program(f"array_signal_trainer/{name}").setup()
    run(parts, epochs=1)
    trainer = parts["train_loop"].__self__
    assert (trainer._steps_taken, trainer._batches_seen) == (steps, 26)
