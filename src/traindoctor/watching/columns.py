"""Says of an exception in a collator of transformers which columns the Trainer had taken out."""

from __future__ import annotations

from types import TracebackType
from typing import Any

_COLLATOR = "RemoveColumnsCollator"  # of transformers, around the script's own


def columns_on(trace: TracebackType | None) -> dict[str, Any]:
    """Return the facts `columns` of the data set and those `dropped`, as `AllColumns` calls them.

    They are read off the frames that were left: nothing of the script's runs again.
    """
    samples: Any = None
    while trace is not None:
        frame = trace.tb_frame
        owner = frame.f_locals.get("self")
        if frame.f_code.co_name == "fetch":
            samples = frame.f_locals.get("data")
        if type(owner).__name__ == _COLLATOR and isinstance(samples, list) and samples:
            columns = tuple(samples[0]) if isinstance(samples[0], dict) else ()
            kept = set(getattr(owner, "signature_columns", columns) or columns)
            return {"columns": columns, "dropped": tuple(c for c in columns if c not in kept)}
        trace = trace.tb_next
    return {}
