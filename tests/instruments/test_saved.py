"""What a step keeps for backward is weighed storage by storage."""

from __future__ import annotations

import torch
from torch import nn

from traindoctor.instruments.saved import Saved


def test_saved_bytes_are_those_of_the_tensors_that_backward_needs() -> None:
    frozen = nn.Sequential(nn.Linear(4, 8, bias=False), nn.Tanh()).requires_grad_(False)
    head = nn.Linear(8, 2, bias=False)
    x = torch.randn(3, 4, requires_grad=True)
    model = nn.Sequential(frozen, head)
    saved = Saved({"0": frozen}, model.parameters())
    with saved.watching():
        model(x).pow(2).sum()
    # Of the frozen part tanh keeps its output (3, 8); a product with a frozen weight keeps nothing
    # more than that weight. The head keeps its input, the same storage; the square one of its own.
    assert saved.inside["0"] == 3 * 8 * 4
    assert saved.step == 3 * 8 * 4 + 3 * 2 * 4
    assert saved.leaves["0"] == {id(x)}


def test_after_the_first_backward_pass_nothing_is_weighed() -> None:
    layer = nn.Linear(4, 2, bias=False)
    saved = Saved({}, layer.parameters())
    with saved.watching():
        layer(torch.randn(3, 4)).sum()
        once = saved.step
        saved.close()
        layer(torch.randn(3, 4)).sum()
    assert saved.step == once == 3 * 4 * 4


def test_hooks_are_gone_afterwards() -> None:
    module = nn.Linear(2, 2)
    with Saved({"": module}, module.parameters()).watching():
        pass
    assert not module._forward_hooks
    assert not module._forward_pre_hooks
