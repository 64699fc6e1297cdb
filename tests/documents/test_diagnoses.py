"""Every script of the five cases is diagnosed as its table says, at the user's own lines."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.documents.goldens import DOCUMENTS, NAMES, differences, document, golden, report

from traindoctor.report.record import Report

SLOW = pytest.mark.slow


@dataclass(frozen=True)
class Diagnosis:
    """What is to be found: root causes with a part of their source line, symptoms by code."""

    roots: tuple[tuple[str, str], ...]
    symptoms: frozenset[str] = frozenset()
    also: tuple[str, ...] = ()  # parts of further lines that belong to it


HEALTHY = Diagnosis(())
COPY = ("TD301", "getattr(adapter.audio_ffn, name).weight.copy_(weight * scale)")
KEPT = ("TD301", "self.audio_cache[ytid] = codes, features.mean(-1)")
FROZEN = ("TD304", "features = self.audio_encoder.encoder(waveform)")
ZERO = ("TD704", "new.zero_()")
EXPERT = ("TD801", "except Exception:")
AFTER_ZERO = frozenset({"TD102", "TD418", "TD705"})
EIGENVALUES = ("TD203", "_, vectors = torch.linalg.eigh(R)")
RUNNING = ("TD805", "running += float(loss.detach().item()) * self.grad_accumulation")
NO_LENGTH = ("TD004", "class UMBRELLABatch:")
PLAIN = ("TD010", "return Trainer(")
CALL = "outputs = model(**inputs)"
VOLUMES = "volumes = torch.zeros(len(samples), MAX_IMAGES, 1, IMAGE_SIZE, IMAGE_SIZE, DEPTH)"
MASK = "image_mask = torch.zeros(len(samples), MAX_IMAGES)"

EXPECTED = {
    "array_signal_trainer/broken": Diagnosis((EIGENVALUES, RUNNING)),
    "array_signal_trainer/broken_detached_prediction": Diagnosis(
        (("TD206", "R_blend = (1 - beta) * R_pred.detach() + beta * R_samp"),)
    ),
    "array_signal_trainer/broken_equal_eigenvalues": Diagnosis((EIGENVALUES,)),
    "array_signal_trainer/broken_guard_skips_steps": Diagnosis(
        (("TD404", "if ok:"),), also=("ok = bool(torch.isfinite(backbone + head)) and bi >=",)
    ),
    "array_signal_trainer/broken_loss_in_step_branch": Diagnosis((RUNNING,)),
    "array_signal_trainer/fixed": HEALTHY,
    "audio_adapter/broken": Diagnosis((COPY, KEPT, EXPERT, ZERO, FROZEN), AFTER_ZERO),
    "audio_adapter/broken_copied_weights": Diagnosis((COPY,)),
    "audio_adapter/broken_frozen_with_graph": Diagnosis(
        (FROZEN,), also=("waveform.requires_grad_()",)
    ),
    "audio_adapter/broken_graph_kept": Diagnosis(
        (KEPT,), also=("features = self.audio_encoder.encoder(waveform)",)
    ),
    "audio_adapter/broken_swallowed_expert": Diagnosis(
        (EXPERT,), also=("adapter.w1.weight.copy_(adapter.mlp.gate_proj.weight)",)
    ),
    "audio_adapter/broken_token_out_of_table": Diagnosis(
        (("TD007", "embeds = self.llama.get_input_embeddings()(input_ids)"),),
        also=("return (codes.T + ranges).flatten()",),
    ),
    "audio_adapter/broken_zero_embeddings": Diagnosis((ZERO,), AFTER_ZERO),
    "audio_adapter/fixed": HEALTHY,
    "hooks_on_music_model/broken": Diagnosis(
        (
            ("TD802", "if len(embeds.shape) == 3:"),
            ("TD803", "if len(latents.shape) > 2:"),
            ("TD803", "if len(out.shape) > 2:"),
        )
    ),
    "hooks_on_music_model/fixed": HEALTHY,
    "multimodal_collator/broken": Diagnosis(
        (("TD003", VOLUMES), NO_LENGTH, PLAIN, ("TD002", MASK))
    ),
    "multimodal_collator/broken_batch_without_len": Diagnosis((NO_LENGTH,)),
    "multimodal_collator/broken_ignored_keys": Diagnosis((("TD002", CALL),), also=(MASK,)),
    "multimodal_collator/broken_plain_trainer": Diagnosis((PLAIN,), frozenset({"TD002"})),
    "multimodal_collator/broken_rejected_keys": Diagnosis((("TD001", CALL),)),
    "multimodal_collator/broken_six_dimensions": Diagnosis((("TD003", CALL),), also=(VOLUMES,)),
    "multimodal_collator/fixed": HEALTHY,
    "silent_speech/broken": Diagnosis(
        (("TD011", "outputs = model("), ("TD801", "except Exception:")),
        frozenset({"TD103", "TD501", "TD502"}),
    ),
    "silent_speech/fixed": HEALTHY,
}
LONG = {  # seconds each, and the same faults stand in the short ones
    "audio_adapter/broken_frozen_with_graph",
    "audio_adapter/broken_swallowed_expert",
    "audio_adapter/broken_zero_embeddings",
    "hooks_on_music_model/fixed",
    "silent_speech/fixed",
}


def test_every_script_has_its_expected_diagnosis() -> None:
    scripts = {f"{file.parent.name}/{file.stem}" for file in DOCUMENTS.glob("*/*.py")}
    assert scripts == set(EXPECTED)


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[SLOW] * (name in LONG or "/broken_" in name)) for name in EXPECTED],
)
def test_a_script_is_diagnosed_as_its_table_says(name: str) -> None:
    made, expected = report(name), EXPECTED[name]
    assert_diagnosed(made, expected)
    if name in DETAILS:
        DETAILS[name](made)
    if name in NAMES:
        changed = differences(document(made), golden(name).read_text(encoding="utf-8"))
        assert not changed, "\n".join(["python -m tests.documents.goldens --update ?", *changed])


def assert_diagnosed(made: Report, expected: Diagnosis) -> None:
    loud = [finding for finding in made.findings if finding.severity != "info"]
    roots = [finding for finding in loud if finding.role == "root-cause"]
    assert [f.code for f in roots] == [code for code, _ in expected.roots]
    for finding, (_, line) in zip(roots, expected.roots, strict=True):
        sick = dict(finding.snippet)[finding.location.line or 0]
        assert sick.strip().startswith(line)
    assert {f.code for f in loud if f.role == "symptom"} == expected.symptoms
    for line in expected.also:
        assert any(line in text for finding in roots for text in finding.also_lines), line
    assert made.verdict != "inconclusive"
    assert (made.verdict == "healthy") == (expected == HEALTHY)
    assert [probe.name for probe in made.probes if probe.status == "errored"] == []


def assert_all_keys(made: Report) -> None:
    """Look for all six keys that nobody reads, not only those that are tensors."""
    (finding,) = [finding for finding in made.findings if finding.code == "TD002"]
    named = next(row.value for row in finding.evidence if row.label == "which")
    assert named == (
        "image_mask, num_images_per_sample, task_types, task_ids, sample_indices, metadata"
    )


def assert_all_hooks(made: Report) -> None:
    """Look for one table with all three hooks."""
    (table,) = next(finding.tables for finding in made.findings if finding.code == "TD802")
    by_hook = {row[0]: row[1:] for row in table.rows}
    assert by_hook["_make_prompt_hook"][-1] == "crashing"
    assert by_hook["_make_latent_hook"] == (
        "dcae",
        "never called",
        "tuple",
        "tuple, ModelOutput, dict",
        "risky",
    )
    assert by_hook["_make_lora_hook"][-1] == "risky"


DETAILS = {
    "multimodal_collator/broken": assert_all_keys,
    "hooks_on_music_model/broken": assert_all_hooks,
}
