"""Every planted fault: a script, the few characters that break it, and what that looks like.

`shows`, `status` and `learns` say what the broken script does when it is simply run; the tests
hold them to it.
"""

from __future__ import annotations

from tests.watch.edits import (
    decisions,
    generative,
    libraries,
    loading,
    optimisers,
    plain,
    sequences,
    transfer,
    unusual,
)

BREAKAGES = (
    *plain.EDITS,
    *libraries.EDITS,
    *generative.EDITS,
    *sequences.EDITS,
    *decisions.EDITS,
    *transfer.EDITS,
    *loading.EDITS,
    *optimisers.EDITS,
    *unusual.EDITS,
)
