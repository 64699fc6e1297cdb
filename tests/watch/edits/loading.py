"""Faults around data, worker processes, mixed precision, logging and packages."""

from __future__ import annotations

from tests.watch.build import Breakage

WORKERS_FORK = (
    Breakage(
        "TD508",
        "workers_fork",
        (
            ("rng = np.random.default_rng(0)", "rng = self.rng = np.random.default_rng(0)"),
            ("np.random.randint(0, len(tone)", "self.rng.integers(0, len(tone)"),
            ("np.random.randn(self.crop)", "self.rng.standard_normal(self.crop)"),
        ),
        (
            "rng = self.rng = ",
            "self.rng.integers(",
            "self.rng.standard_normal(",
            "loader = DataLoader(",
        ),
        "nothing; both workers draw the same noise",
        learns=True,
    ),
    Breakage(
        "TD208",
        "workers_fork",
        (("            optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "loss.backward()"),
        "the loss falls less far",
        learns=True,
    ),
    Breakage(
        "TD401",
        "workers_fork",
        (("AdamW(model.parameters()", "AdamW(model.out.parameters()"),),
        ("optimizer = torch.optim.AdamW(",),
        "only the last layer learns",
        learns=True,
    ),
)

WORKERS_SPAWN = (
    Breakage(
        "TD508",
        "workers_spawn",
        (
            ("0.2 * torch.randn(24, 24, generator=g)", "0.2 * torch.randn(24, 24)"),
            ("torch.manual_seed(info.seed % 2**31)", "torch.manual_seed(0)"),
        ),
        ("torch.manual_seed(0)", "picture = 0.2 * torch.randn(24, 24)", "loader = DataLoader("),
        "nothing; both workers draw the same noise",
        learns=True,
    ),
    Breakage(
        "TD007",
        "workers_spawn",
        (("/ 0.4, count - 1", "/ 0.4, count"),),
        ("loss = F.cross_entropy(", "/ 0.4, count"),
        "IndexError at the first batch with four discs: target 4 is out of bounds",
        status=1,
    ),
    Breakage(
        "TD208",
        "workers_spawn",
        (("            optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "loss.backward()"),
        "the loss falls less far",
    ),
)

AMP_SCALER = (
    Breakage(
        "TD414",
        "amp_scaler",
        (("                scaler.update()\n", ""),),
        ("scaler.step(optimizer)", "scaler.unscale_(optimizer)"),
        "RuntimeError at the second step: unscale_() has already been called",
        status=1,
    ),
    Breakage(
        "TD211",
        "amp_scaler",
        (("                scaler.unscale_(optimizer)\n", ""),),
        ("torch.nn.utils.clip_grad_norm_(model.parameters(), 2.0)",),
        "nothing to see: Adam makes up for gradients that are far too small",
        learns=True,
    ),
    Breakage(
        "TD805",
        "amp_scaler",
        (
            ("            running_loss += loss.item()\n", ""),
            (
                "                scaler.update()\n",
                "                scaler.update()\n                running_loss += loss.item()\n",
            ),
        ),
        ("running_loss += loss.item()",),
        "the printed loss is half of what it is",
        learns=True,
    ),
    Breakage(
        "TD416",
        "amp_scaler",
        (('"--accumulate", type=int, default=2', '"--accumulate", type=int, default=5'),),
        (
            "if (i + 1) % args.accumulate == 0:",
            "optimizer.zero_grad() @1",
            "scaler.step(optimizer)",
        ),
        "nothing; the last three batches of each epoch are computed in vain",
        learns=True,
    ),
    Breakage(
        "TD716",
        "amp_scaler",
        (
            (
                'with torch.autocast("cpu", dtype=torch.bfloat16):\n                loss',
                'with torch.autocast("cuda", dtype=torch.bfloat16):\n                loss',
            ),
        ),
        ('with torch.autocast("cuda", dtype=torch.bfloat16):',),
        "a UserWarning that there is no CUDA; all runs in float32",
        learns=True,
    ),
)

POOL_FEATURES = (
    Breakage(
        "TD005",
        "pool_features",
        ((".astype(np.float32), clip.label", ", clip.label"),),
        (
            "loss = nn.functional.cross_entropy(",
            "np.log(energy + 1e-6).mean(axis=0)",
            "features = torch.from_numpy(",
        ),
        "RuntimeError at the first batch: a double meets float weights",
        status=1,
    ),
    Breakage(
        "TD101",
        "pool_features",
        (
            (
                "            optimizer.zero_grad()\n",
                "            loss = torch.tensor(loss.item(), requires_grad=True)\n"
                "            optimizer.zero_grad()\n",
            ),
        ),
        ("loss = torch.tensor(loss.item(), requires_grad=True)",),
        "the loss stays where it is: what is differentiated is a new tensor",
        also=("TD206",),
    ),
    Breakage(
        "TD403",
        "pool_features",
        (("            optimizer.step()\n", ""),),
        ("loss.backward()", "optimizer = torch.optim.AdamW("),
        "the loss stays where it is",
    ),
)

LOGGING_INTERRUPT = (
    Breakage(
        "TD801",
        "logging_interrupt",
        (
            ("except KeyboardInterrupt:", "except Exception:"),
            ("criterion(model(left, right), same)", "criterion(model(left, right), same.long())"),
        ),
        ("except Exception:", "loss = criterion("),
        "the run ends politely before the first step: a dtype error is taken for Ctrl-C",
    ),
    Breakage(
        "TD305",
        "logging_interrupt",
        (("loss.backward()", "loss.backward(retain_graph=True)"),),
        ("loss.backward(retain_graph=True)",),
        "nothing",
        learns=True,
    ),
    Breakage(
        "TD513",
        "logging_interrupt",
        (
            (
                "loader = DataLoader(PairDataset(2560, seed=0), batch_size=64, shuffle=True)",
                "loader = iter(DataLoader(PairDataset(2560, seed=0), batch_size=64, shuffle=True))",
            ),
        ),
        ("loader = iter(DataLoader(", "for left, right, same in loader:"),
        "a loss of 0.0000 from the second epoch on, which is empty",
        learns=True,
    ),
    Breakage(
        "TD510",
        "logging_interrupt",
        (
            (
                "        return self.left[i], self.right[i], self.same[i]\n",
                "        time.sleep(0.0002)  # a slow disk\n"
                "        return self.left[i], self.right[i], self.same[i]\n",
            ),
        ),
        ("for left, right, same in loader:", "loader = DataLoader(", "time.sleep(0.0002)"),
        "nine tenths of the time go by in waiting for batches",
        learns=True,
    ),
)

RANKER = (
    Breakage(
        "TD704",
        "ranker.train",
        (("nn.init.normal_(table.weight, std=0.1)", "nn.init.zeros_(table.weight)"),),
        ("nn.init.zeros_(table.weight)",),
        "only the items' popularity is learned: users and items stay zero",
        file="ranker/model.py",
    ),
    Breakage(
        "TD809",
        "ranker.train",
        (("    return total / len(loader)\n", "        return total / len(loader)\n"),),
        ("return total / len(loader)",),
        "one step an epoch, and a sum of one loss that is divided by all",
        learns=True,
    ),
    Breakage(
        "TD806",
        "ranker.train",
        (("return total / len(loader)", "return total / len(loader.dataset)"),),
        ("return total / len(loader.dataset)", "total += loss.item()", "print("),
        "the printed loss is a two-hundredth of what it is, and falls",
        learns=True,
    ),
)

EDITS = (
    *WORKERS_FORK,
    *WORKERS_SPAWN,
    *AMP_SCALER,
    *POOL_FEATURES,
    *LOGGING_INTERRUPT,
    *RANKER,
)
