"""What the small commands show above the findings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.report.sample import blocked

from traindoctor.report.renderers import render
from traindoctor.report.renderers.look import Look

STEPS = {
    "batches": 12,
    "epochs": 2,
    "backward_passes": 8,
    "steps": 2,
    "accumulation_declared": 4,
    "passes_per_step": [4],
    "optimizers": [
        {
            "name": "AdamW",
            "parameters": 12,
            "steps": 2,
            "groups": [
                {
                    "name": "backbone",
                    "parameters": 8,
                    "learning_rates": [2e-4, 1e-4],
                    "gradient_norms": [0.75, 0.5],
                },
                {
                    "name": "head",
                    "parameters": 4,
                    "learning_rates": [8e-4, 8e-4],
                    "gradient_norms": [None, None],
                },
            ],
            "place": "train.py:128",
        }
    ],
    "ended_by": "",
    "skipped": [
        {"number": 4, "what": "KeyError caught by `except Exception:`", "place": "train.py:24"}
    ],
}
BACKWARD = [
    {
        "batch": number,
        "loss": 2.5,
        "nodes": 20,
        "through": list(range(number + 1)),
        "earlier": list(range(number)),
        "gradients_before": 0,
        "gradients_after": 6,
        "retain_graph": number == 1,
        "seconds": 0.004,
    }
    for number in range(2)
]
CONTRACT = {
    "class": "dict",
    "size": 4,
    "model": "Net",
    "keys": [
        {
            "key": "input_ids",
            "shape": [4, 8],
            "dtype": "int64",
            "minimum": 0,
            "maximum": 31,
            "not_finite": 0,
            "taken_by": "input_ids",
        },
        {
            "key": "weights",
            "shape": [4],
            "dtype": "float32",
            "minimum": 0.25,
            "maximum": 1.0,
            "not_finite": 2,
            "taken_by": "nobody",
        },
    ],
    "not_given": ["mask"],
    "takes_anything": False,
}
TIMING = {
    "what": "step",
    "seconds": 0.048,
    "batch_size": 4,
    "samples_per_second": 83.3,
    "flops_per_sample": 3e7,
    "peak_flops_per_second": 6e10,
    "most_samples_per_second": 2000.0,
    "claim": {
        "samples": 210_695,
        "seconds": 60.0,
        "samples_per_second": 3511.6,
        "times_too_fast": 42.2,
        "times_the_bound": 1.76,
        "plausible_seconds": 2529.0,
    },
    "outlook": None,
}


def shown(command: str, **measurements: Any) -> str:
    report = blocked()
    report = replace(
        report,
        command=f"traindoctor {command} train.py:setup",
        measurements=report.measurements | measurements,
    )
    return render(report, "text", Look(width=100))


def test_steps_stand_beside_batches_with_rates_and_who_skipped() -> None:
    text = shown("steps", steps=STEPS)
    assert "12 batches, 8 backward passes, 2 optimizer steps" in text
    assert "4 backward passes a step, 4 declared" in text
    rows = [line.split() for line in text.splitlines()]
    assert ["AdamW", "2", "backbone", "8", "0.0002", "→", "0.0001", "0.75", "→", "0.5"] in rows
    assert ["head", "4", "0.0008", "–"] in rows
    assert "stepped at train.py:128" in text
    assert "4 × KeyError caught by `except Exception:` at train.py:24" in text


def test_a_backward_pass_through_an_earlier_batch_is_said_to_be_so() -> None:
    text = shown("backward", backward=BACKWARD)
    assert "its own batch" in text
    assert "batch 0 as well (graph retained)" in text
    ended = shown("backward", backward=BACKWARD, steps=STEPS | {"ended_by": "backward raised X"})
    assert "– then backward raised X" in ended


def test_a_batch_stands_beside_who_takes_it() -> None:
    lines = shown("batch", contract=CONTRACT).splitlines()
    assert "dict of 4 samples for Net" in lines
    (row,) = [line.split() for line in lines if line.lstrip().startswith("weights")]
    assert row[-1] == "nobody"
    assert "0.25 … 1, 2 not finite" in " ".join(row)
    assert "  not in the batch: mask" in lines


def test_what_was_tried_says_more_of_a_key_than_the_signature() -> None:
    tried = {"rejected": ["weights"], "ignored": ["input_ids"]}
    text = shown("batch", contract=CONTRACT, forward_keys=tried)
    assert "input_ids, ignored" in text
    assert "refused" in text


def test_a_claimed_run_stands_beside_the_measured_step_and_its_bound() -> None:
    text = " ".join(shown("timing", timing=TIMING).split())
    assert "48 ms on 4 samples, 83 samples/s" in text
    assert "2,000 samples/s is the bound" in text
    assert "210,695 samples in 60 s, 3,512 samples/s: 42.2 times the measured speed" in text
    assert "at which it takes 42.1 min" in text


def test_a_claim_that_is_slower_than_the_measured_speed_is_possible() -> None:
    claim = TIMING["claim"] | {"times_too_fast": 0.5, "plausible_seconds": 30.0}
    text = " ".join(shown("timing", timing=TIMING | {"claim": claim}).split())
    assert "possible; at the measured speed it takes 30 s" in text


def test_a_part_of_a_claim_gets_its_other_part() -> None:
    told = {"known": "seconds", "samples": 800, "most_samples": 9000, "epochs": 2, "seconds": 10.0}
    text = " ".join(shown("timing", timing=TIMING | {"claim": None, "outlook": told}).split())
    assert "10 s suffice for 800 samples in 2 epochs at the measured speed" in text
    told = {"known": "samples", "samples": 320, "is_loaders": True, "epochs": 5}
    told |= {"seconds": 4.0, "least_seconds": 0.5}
    text = " ".join(shown("timing", timing=TIMING | {"claim": None, "outlook": told}).split())
    assert "320 samples of this loader in 5 epochs take 4 s at the measured speed" in text


def test_a_view_without_its_measurement_is_left_out() -> None:
    for command in ("steps", "backward", "batch", "timing"):
        assert "Training is blocked" in shown(command)
