"""Faults that show as a run goes on: kept graphs, modes, precision, reports, courses."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    BACKWARD,
    CNN_STEM,
    LOOP,
)

EPOCHS = "    for epoch in range(epochs):\n"
STEP_CALL = "loss = train_step(model, batch, optimizer)"
EPOCH = f"        {LOOP}"
REPORT = 'print(f"epoch {epoch}: loss {loss.item():.4f}")'
DATA = {"mlp": "TensorDataset(*spiral())", "cnn": "Shapes()", "transformer": "Letters()"}
CALLS = {
    "mlp": "model(batch[0])",
    "cnn": 'model(batch["pixel_values"])',
    "transformer": 'model(batch["input_ids"])',
}


def looped(rule: str, program: str, line: str, *replace: tuple[str, str]) -> Edit:
    """Change the loop."""
    return Edit(rule, program, replace, "setup_loop", lines=(line,) if line else ())


def keeping(program: str, begin: str, add: str, rule: str = "TD302") -> Edit:
    """Keep something of each step."""
    loop = f"{EPOCH}            {add}\n"
    line = add if rule == "TD302" and "detach" not in add else ""
    return looped(rule, program, line, (EPOCHS, f"    {begin}\n{EPOCHS}"), (EPOCH, loop))


def validated(program: str, mode: str, *, gradients: str = "torch.no_grad()") -> Edit:
    """End each epoch with a pass over other data."""
    line = "" if mode else "seen = model("
    begin = f"    held_out = DataLoader({DATA[program]}, batch_size=64)\n{EPOCHS}"
    validation = (
        f"{mode or 'num_seen = 0'}\n"
        f"        with {gradients}:\n"
        "            for batch in held_out:\n"
        f"                seen = {CALLS[program]}\n"
        f"        model.train()\n"
        f"        {REPORT}"
    )
    return looped("TD702", program, line, (EPOCHS, begin), (REPORT, validation))


def reported(program: str, shown: str, line: str) -> Edit:
    """Add the losses up and report what becomes of them."""
    return looped(
        "TD806",
        program,
        line,
        (EPOCHS, f"{EPOCHS}        total = 0.0\n"),
        (EPOCH, f"{EPOCH}            total += loss.item()\n"),
        (REPORT, f'print(f"epoch {{epoch}}: train loss {{{shown}:.6f}}")'),
    )


def retaining(program: str, after: str = "") -> Edit:
    """Retain the graph of each step."""
    line = "" if after else "loss.backward(retain_graph=True)"
    backward = BACKWARD.replace("()", f"(retain_graph=True)\n{after}", 1) if after else None
    new = backward or BACKWARD.replace("backward()", "backward(retain_graph=True)")
    return Edit("TD305", program, ((BACKWARD, new),), "setup_step", lines=(line,) if line else ())


def cast(program: str, old: str, new: str, line: str) -> Edit:
    """Enter autocast somewhere."""
    return Edit("TD716", program, ((old, new),), "setup_step", lines=(line,) if line else ())


GRU_CALL = (
    '    outputs = model(batch["input_ids"], batch["place"])\n'
    '    loss = loss_fn(outputs, batch["labels"])\n'
)
AUTOCAST = "    with torch.autocast('cpu', dtype=torch.bfloat16):\n"
MLP_CALL = "    loss = loss_fn(model(inputs), targets)\n"
CNN_CALL = '    outputs = model(batch["pixel_values"])\n    loss = loss_fn(outputs, batch)\n'
FAULTS = (
    keeping("mlp", "losses = []", "losses.append(loss)"),
    keeping("cnn", "total = 0.0", "total += loss"),
    keeping("gru", "history = {'loss': []}", "history['loss'].append(loss)"),
    keeping("transformer", "total = torch.zeros(())", "total = total + loss"),
    retaining("mlp"),
    retaining("gru"),
    retaining("transformer"),
    validated("mlp", ""),
    validated("cnn", ""),
    validated("transformer", ""),
    validated("cnn", "", gradients="torch.enable_grad()"),
    reported("mlp", "total / len(loader.dataset)", "train loss {total"),
    reported("gru", "loss.item() / len(loader)", "train loss {loss"),
    reported("transformer", "total / 1000", "train loss {total"),
    cast("mlp", MLP_CALL, f"    outputs = model(inputs)\n{AUTOCAST}"
         "        loss = loss_fn(outputs, targets)\n", "outputs = model(inputs)"),
    cast("cnn", CNN_CALL, CNN_CALL.replace("    loss", f"{AUTOCAST}        loss"),
         'outputs = model(batch["pixel_values"])'),
    cast("gru", GRU_CALL, GRU_CALL.replace("    loss", f"{AUTOCAST}        loss"),
         'outputs = model(batch["input_ids"], batch["place"])'),
    looped("TD216", "cnn", "model.blocks.requires_grad_(False)",
           (REPORT, f"model.blocks.requires_grad_(False)\n        {REPORT}")),
    looped("TD216", "gru", "model.gru.requires_grad_(False)",
           (REPORT, f"model.gru.requires_grad_(False)\n        {REPORT}")),
    looped("TD216", "mlp", "model.stem.requires_grad_(False)",
           (REPORT, f"model.stem.requires_grad_(False)\n        {REPORT}")),
    looped("TD216", "transformer", "p.requires_grad = False",
           (REPORT, "for p in model.blocks.parameters():\n            p.requires_grad = False\n"
            f"        {REPORT}")),
    Edit("TD807", "cnn", ((CNN_STEM, "x = F.relu(self.stem(pixel_values))\n"
                           "        pixel_values = F.dropout2d(x.mean(dim=(2, 3)), 0.1)"),),
         lines=("F.dropout2d",)),
)  # fmt: skip
NEAR_MISSES = (
    keeping("mlp", "losses = []", "losses.append(loss.detach())"),
    keeping("gru", "total = 0.0", "total = 0.9 * total + 0.1 * loss.item()", rule="none"),
    retaining("cnn", "    torch.autograd.grad(loss, model.head.weight)\n"),
    validated("mlp", "model.eval()"),
    validated("cnn", "model.eval()", gradients="torch.inference_mode()"),
    reported("cnn", "total / len(loader)", ""),
    cast("mlp", MLP_CALL, f"{AUTOCAST}        loss = loss_fn(model(inputs), targets)\n", ""),
    looped("TD216", "gru", "", (EPOCH, "        if epoch == 1:\n"
           f"            model.gru.requires_grad_(False)\n{EPOCH}")),
)  # fmt: skip
