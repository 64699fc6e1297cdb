"""The figures of a training's speed: measured, bounded, claimed, and to be expected."""

from __future__ import annotations

from typing import Any


def timing(facts: dict[str, Any], claimed: tuple[int, float] | None) -> dict[str, Any]:
    """Return the figures of a speed: samples a second, their bound, and those of a claimed run.

    The bound is the device's measured peak over the FLOPs of a sample. `times_too_fast` is the
    claimed speed over the measured one, `plausible_seconds` what the run takes at the latter;
    `times_the_forward` is it over the forward alone, in batches of the size that suits it best.
    """
    size, flops, peak = facts["batch_size"], facts.get("flops"), facts["peak_flops"]
    seconds = facts["step_seconds"] or facts["forward_seconds"]
    rate = size / seconds if size and seconds else None
    bound = peak * size / flops if peak and flops and size else None
    figures: dict[str, Any] = {
        "what": "step" if facts["step_seconds"] else "forward",
        "seconds": seconds,
        "batch_size": size,
        "samples_per_second": rate,
        "flops_per_sample": flops / size if flops and size else None,
        "peak_flops_per_second": peak,
        "most_samples_per_second": bound,
        "forward_samples_per_second": facts.get("forward_rate"),
        "forward_batch_size": facts.get("forward_size"),
        "claim": None,
    }
    if claimed is not None and claimed[1] > 0:
        samples, took = claimed
        figures["claim"] = {
            "samples": samples,
            "seconds": took,
            "samples_per_second": samples / took,
            "times_too_fast": samples / took / rate if rate else None,
            "times_the_bound": samples / took / bound if bound else None,
            "times_the_forward": samples / took / facts["forward_rate"]
            if facts.get("forward_rate")
            else None,
            "plausible_seconds": samples / rate if rate else None,
        }
    return figures


def outlook(
    figures: dict[str, Any],
    *,
    samples: int | None,
    epochs: int | None,
    seconds: float | None,
    in_loader: int | None,
) -> dict[str, Any] | None:
    """Return what is plausible where only a part of a run is told of; None where nothing is.

    Args:
        figures: from `timing`.
        samples: of the run's data.
        epochs: of the run.
        seconds: that it took.
        in_loader: samples of the setup's own data, which stand in where only epochs are told.
    """
    rate, bound = figures["samples_per_second"], figures["most_samples_per_second"]
    if not rate or (samples, epochs, seconds) == (None, None, None):
        return None
    number = epochs or 1
    if seconds is not None:
        return {
            "known": "seconds",
            "samples": int(rate * seconds),
            "most_samples": int(bound * seconds) if bound else None,
            "epochs": number,
            "seconds": seconds,
        }
    total = (samples or in_loader or 0) * number
    return {
        "known": "samples",
        "samples": total,
        "is_loaders": samples is None,
        "epochs": number,
        "seconds": total / rate,
        "least_seconds": total / bound if bound else None,
    }
