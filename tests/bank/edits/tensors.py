"""Faults of the tensors in a batch: kind of number, device, range (TD005 to TD007)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    CNN_IMAGE,
    CNN_LOSS,
    CNN_STEM,
    GRU_CELL,
    GRU_LABELS,
    GRU_LOSS,
    MASK,
    MLP_LOSS,
    MLP_STEM,
    TRANSFORMER_BATCH,
    TRANSFORMER_TOKENS,
    transformer_batch,
)

DTYPE_MISMATCH = (
    Edit(
        "TD005",
        "mlp",
        (("/ features.std(0)", "/ features.double().std(0)"),),
        lines=(MLP_STEM,),
    ),
    Edit(
        "TD005",
        "cnn",
        ((CNN_IMAGE, "image = (self.images[index] * 255).clamp(0, 255).to(torch.uint8)"),),
        lines=(CNN_STEM,),
    ),
    Edit(
        "TD005",
        "gru",
        ((GRU_LABELS, "torch.tensor([float(ord(text[i + window])) for i in starts])"),),
        lines=(GRU_LOSS,),
    ),
    Edit(
        "TD005",
        "transformer",
        ((TRANSFORMER_BATCH, transformer_batch(inputs="ids[:-1].float()")),),
        lines=(TRANSFORMER_TOKENS,),
    ),
)

DEVICE_MISMATCH = (  # meta stands in for a second device
    Edit(
        "TD006",
        "mlp",
        (("nn.Linear(hidden, num_classes)", 'nn.Linear(hidden, num_classes, device="meta")'),),
        lines=("return self.head(x)",),
    ),
    Edit(
        "TD006",
        "cnn",
        (("self.stem(pixel_values)", 'self.stem(pixel_values) + torch.ones(1, device="meta")'),),
        lines=("x = F.relu(self.stem(pixel_values)",),
    ),
    Edit(
        "TD006",
        "gru",
        ((GRU_CELL, 'state = self.gru(x, start[None].to("meta"))[1]'),),
        lines=("state = self.gru(x, start[None]",),
    ),
    Edit(
        "TD006",
        "transformer",
        (
            (
                MASK,
                'self.mask = torch.ones(block_size, block_size, device="meta").tril().bool()',
            ),
        ),
        lines=("scores = scores.masked_fill(",),
    ),
)

INDEX_OUT_OF_RANGE = (
    Edit("TD007", "mlp", (("% num_classes\n", "% num_classes + 1\n"),), lines=(MLP_LOSS,)),
    Edit(
        "TD007",
        "cnn",
        (("nn.Linear(channels, num_classes)", "nn.Linear(channels, num_classes - 1)"),),
        lines=(CNN_LOSS,),
    ),
    Edit(
        "TD007",
        "gru",
        (("vocab_size = 128  # ASCII", "vocab_size = 100"),),
        lines=("x = self.embedding(input_ids)",),
    ),
    Edit(
        "TD007",
        "transformer",
        (("vocab_size = len(letters)", "vocab_size = len(set(text.lower()))"),),
        lines=(TRANSFORMER_TOKENS,),
    ),
)

FAULTS = (*DTYPE_MISMATCH, *DEVICE_MISMATCH, *INDEX_OUT_OF_RANGE)

NEAR_MISSES = (
    Edit(  # autocast doing its work
        "TD005",
        "mlp",
        (
            (
                "    loss = loss_fn(model(inputs), targets)",
                '    with torch.autocast("cpu", dtype=torch.bfloat16):\n'
                "        loss = loss_fn(model(inputs), targets)",
            ),
        ),
        factory="setup_step",
    ),
    Edit(  # a batch that the loop moves
        "TD006",
        "mlp",
        (
            (
                "inputs, targets = batch",
                "inputs, targets = (tensor.to(model.head.weight.device) for tensor in batch)",
            ),
        ),
        factory="setup_step",
    ),
    Edit("TD007", "gru", (("vocab_size = 128  # ASCII", "vocab_size = 160"),)),  # a resized one
)
