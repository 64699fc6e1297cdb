"""Faults of control flow, hooks and accounting (TD8)."""

from __future__ import annotations

from tests.bank.build import Edit
from tests.bank.lines import (
    BACKWARD,
    CNN_FORWARD,
    CNN_LOGITS,
    GRU_FORWARD,
    LOGITS,
    LOOP,
    MODELS,
    STEP,
    ZERO_GRAD,
)

CLIP = "    nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm)\n"
STEP_CALL = "loss = train_step(model, batch, optimizer)"
EPOCH = f"        {LOOP}"
DECLARED = (
    '"train_loop": train_loop,\n',
    '"train_loop": train_loop,\n        "accumulation_steps": 4,\n',
)


def guarded(program: str, call: str, handler: str, *more: tuple[str, str]) -> Edit:
    """Put a handler around the step of a loop in which something raises."""
    loop = (
        "        loss = torch.zeros(())\n"
        "        for index, batch in enumerate(loader):\n"
        "            try:\n"
        f"                {call}\n"
        f"            {handler}\n"
        "                continue\n"
    )
    return Edit("TD801", program, ((EPOCH, loop), *more), "setup_loop", lines=(handler,))


def hooked(
    rule: str, program: str, line: str, *more: tuple[str, str], factory: str = "setup"
) -> Edit:
    """Register a hook once the model is built."""
    model = MODELS[program]
    return Edit(rule, program, ((model, f"{model}    {line}\n"), *more), factory, lines=(line,))


def looped(rule: str, program: str, loop: str, line: str, *more: tuple[str, str]) -> Edit:
    """Write the batch loop anew."""
    lines = (line,) if line else ()
    return Edit(rule, program, (*more, (EPOCH, loop)), "setup_loop", lines=lines)


def accumulating(program: str, total: str, result: str) -> Edit:
    """Step at every fourth batch, and add up the losses somewhere."""
    loop = (
        "        total, num = 0.0, 0\n"
        "        for index, batch in enumerate(loader):\n"
        f"            {STEP_CALL}\n"
        "            if (index + 1) % 4 == 0:\n"
        "                optimizer.step()\n"
        "                optimizer.zero_grad()\n"
        f"{total}"
        f"        print({result})\n"
    )
    more = [(STEP, ""), (ZERO_GRAD, ""), (BACKWARD, "    (loss / 4).backward()\n"), DECLARED]
    more += [(CLIP, "")] if program != "cnn" else []
    return looped("TD805", program, loop, "total += loss.item()", *more)


def behind(program: str) -> Edit:
    """Step when the epoch is over."""
    loop = f"{EPOCH}        optimizer.step()\n"
    return looped("TD808", program, loop, "        optimizer.step()", (STEP, ""))


KEY_ERROR = (
    ("    optimizer.zero_grad()\n    outputs", "    try:\n        images = batch['pixels']\n"
     "    except KeyError:  # no images\n        return None\n"
     "    optimizer.zero_grad()\n    outputs"),
)  # fmt: skip
SWALLOWED_EXCEPTION = (
    guarded("mlp", "loss = train_step(model, batch, optimizer, epoch)", "except Exception:"),
    Edit("TD801", "cnn", KEY_ERROR, "setup_step", lines=("except KeyError:",)),
    guarded("gru", STEP_CALL, "except AttributeError:", (CLIP, CLIP.replace("meters", "meter"))),
    guarded(
        "transformer",
        "loss = train_step(model, batch if index % 3 else list(batch), optimizer)",
        "except TypeError:",
    ),
)
HOOK_CRASHES = (
    hooked("TD802", "mlp", "model.stem.register_forward_hook(lambda m, args, out: out.logits)"),
    hooked(
        "TD802",
        "cnn",
        "model.blocks[0].norm.register_full_backward_hook(lambda m, grads, out: grads.norm())",
    ),
    hooked(
        "TD802", "gru", "model.gru.register_forward_hook(lambda m, args, out: print(out.shape))"
    ),
    hooked(
        "TD802",
        "transformer",
        "model.register_forward_hook(lambda m, args, out: print(out.mean()))",
        factory="setup_loop",
    ),
)
AS_DICT = "if as_dict:\n            return {'logits': self.head(x)}\n        " + LOGITS
HOOK_FRAGILE = tuple(
    hooked(
        "TD803",
        program,
        "model.register_forward_hook(lambda m, args, out: out.mean() and None)",
        (forward, forward.replace("):", ", as_dict=False):")),
        (logits, AS_DICT.replace(LOGITS, logits).replace("(x)}", f"({logits[17:-1]})}}")),
    )
    for program, forward, logits in (
        ("mlp", "def forward(self, x):", LOGITS),
        ("cnn", CNN_FORWARD, CNN_LOGITS),
        ("gru", GRU_FORWARD, LOGITS),
    )
)
HOOK_CHANGES_OUTPUT = (
    hooked("TD804", "mlp", "model.stem.register_forward_hook(lambda m, args, out: out.detach())"),
    hooked("TD804", "cnn", "model.blocks[0].register_forward_hook(lambda m, args, out: out.data)"),
    hooked("TD804", "gru", "model.place.register_forward_hook(lambda m, args, out: out.detach())"),
    hooked(
        "TD804",
        "transformer",
        "model.blocks[1].register_forward_pre_hook(lambda m, args: (args[0].detach(),))",
        factory="setup_loop",
    ),
)
COUNTED_ON_STEP_ONLY = tuple(
    accumulating(program, "                total += loss.item()\n", "total / len(loader)")
    for program in MODELS
)
STEP_OUTSIDE = tuple(behind(program) for program in MODELS)
ENDS_EARLY = (
    looped("TD809", "mlp", f"{EPOCH}            break\n", "            break"),
    looped("TD809", "cnn", f"{EPOCH}            return loss\n", "            return loss"),
    looped(
        "TD809",
        "gru",
        f"        for step, batch in enumerate(loader):\n            {STEP_CALL}\n"
        "            if step == 0:\n                break\n",
        "                break",
    ),
    looped("TD809", "transformer", f"{EPOCH}            break\n", "            break"),
)
FAULTS = (
    *SWALLOWED_EXCEPTION,
    *HOOK_CRASHES,
    *HOOK_FRAGILE,
    *HOOK_CHANGES_OUTPUT,
    *COUNTED_ON_STEP_ONLY,
    *STEP_OUTSIDE,
    *ENDS_EARLY,
)
NEAR_MISSES = (
    looped(  # a first try that fails and a second that does not
        "TD801",
        "mlp",
        "        for batch in loader:\n"
        "            try:\n"
        "                loss = train_step(model, batch, optimizer, epoch)\n"
        "            except TypeError:\n"
        f"                {STEP_CALL}\n",
        "",
    ),
    looped(  # a stream begun anew where it ends, and a lookup with a default
        "TD801",
        "gru",
        "        stream, tags = iter(loader), {}\n"
        "        for index in range(2 * len(loader)):\n"
        "            try:\n"
        "                batch = next(stream)\n"
        "            except StopIteration:\n"
        "                break\n"
        "            try:\n"
        "                tags[index]\n"
        "            except KeyError:\n"
        "                tags[index] = epoch\n"
        f"            {STEP_CALL}\n",
        "",
    ),
    hooked(  # an observer that takes what comes
        "TD803",
        "transformer",
        "model.register_forward_hook(lambda m, args, out: print(type(out).__name__))",
    ),
    hooked(  # an observer of one layer, which returns tensors
        "TD803",
        "cnn",
        "model.stem.register_forward_hook(lambda m, args, out: print(out.mean().item()))",
    ),
    hooked(  # a scale that keeps the gradient
        "TD804", "mlp", "model.stem.register_forward_hook(lambda m, args, out: 1.1 * out)"
    ),
    accumulating("cnn", "            total += loss.item()\n", "total / len(loader)"),
    accumulating(
        "transformer",
        "                total += loss.item()\n                num += 1\n",
        "total / max(num, 1)",
    ),
    looped(  # the whole epoch as one batch
        "TD808",
        "gru",
        f"        optimizer.zero_grad()\n{EPOCH}            (loss / len(loader)).backward()\n"
        "        optimizer.step()\n",
        "",
        (STEP, ""),
        (ZERO_GRAD, ""),
        (BACKWARD, ""),
        (CLIP, ""),
    ),
    looped(  # a run that is told how far to go
        "TD809",
        "cnn",
        f"        for step, batch in enumerate(loader):\n            {STEP_CALL}\n"
        "            if epoch * len(loader) + step >= 2000:\n                break\n",
        "",
    ),
)
