"""Faults in language models, recurrent networks and streams."""

from __future__ import annotations

from tests.watch.build import Breakage

CHAR_GPT = (
    Breakage(
        "TD007",
        "char_gpt",
        (("GPT(GPTConfig(block_size, len(chars),", "GPT(GPTConfig(block_size, len(chars) - 1,"),),
        ("model = GPT(GPTConfig(", "self.drop(self.wte(idx)"),
        "IndexError at the first batch: index out of range in self",
        status=1,
    ),
    Breakage(
        "TD406",
        "char_gpt",
        (
            ("min_lr = 3e-4", "min_lr = 0.0"),
            (
                "ratio = (it - warmup_iters) / (max_iters - warmup_iters)",
                "ratio = min(1.0, (it - warmup_iters) / 4)",
            ),
        ),
        ('param_group["lr"] = get_lr(iter_num)', "optimizer.step()", "return min_lr + "),
        "the learning rate is 0 from the twelfth iteration on",
    ),
    Breakage(
        "TD210",
        "char_gpt",
        (("grad_clip = 1.0", "grad_clip = 1e-3"),),
        ("clip_grad_norm_(model.parameters(), grad_clip)", "grad_clip = 1e-3"),
        "nothing to see: Adam makes up for it",
        learns=True,
    ),
)

WORD_RNN = (
    Breakage(
        "TD301",
        "word_rnn",
        (("        hidden = repackage_hidden(hidden)\n", ""),),
        (
            "self.rnn(self.drop(",
            "output, hidden = model(data, hidden) @2",
            "loss.backward()",
        ),
        "RuntimeError at the second batch: backward through the graph a second time",
        status=1,
    ),
    Breakage(
        "TD208",
        "word_rnn",
        (("        model.zero_grad()\n", ""),),
        ("loss.backward()", "p.add_(p.grad, alpha=-lr)"),
        "nothing to see: clipping makes up for it",
        learns=True,
    ),
    Breakage(
        "TD007",
        "word_rnn",
        (("RNNModel(len(vocab), ", "RNNModel(len(vocab) - 1, "),),
        ("model = RNNModel(", "self.rnn(self.drop(self.encoder(input))"),
        "IndexError at the first batch: index out of range in self",
        status=1,
    ),
)

SEQ2SEQ = (
    Breakage(
        "TD410",
        "seq2seq",
        (
            (
                "optim.Adam(decoder.parameters(), lr=5e-3)",
                "optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=5e-3)",
            ),
        ),
        ("encoder_optimizer = optim.Adam(", "decoder_optimizer = optim.Adam("),
        "the encoder takes every step twice",
        learns=True,
    ),
    Breakage(
        "TD101",
        "seq2seq",
        (
            (
                "loss = loss + criterion(log_probs, target[:, t])",
                "loss = loss + criterion(log_probs, target[:, t]).item()",
            ),
        ),
        ("criterion(log_probs, target[:, t]).item()", "loss.backward()"),
        "AttributeError: 'float' object has no attribute 'backward'",
        status=1,
    ),
    Breakage(
        "TD403",
        "seq2seq",
        (("    encoder_optimizer.step()\n", ""),),
        ("loss.backward()", "encoder_optimizer = optim.Adam("),
        "the encoder keeps its initial values",
    ),
)

REMAT_TRANSFORMER = (
    Breakage(
        "TD709",
        "remat_transformer",
        (
            (
                "nn.ModuleList([Layer(dim, heads) for _ in range(depth)])",
                "[Layer(dim, heads) for _ in range(depth)]",
            ),
        ),
        ("self.layers = [",),
        "the layers keep their initial values; what is around them learns a little",
    ),
    Breakage(
        "TD009",
        "remat_transformer",
        (("y[:, : LENGTH - 1] = -1", "y[:] = -1"),),
        ("loss = F.cross_entropy(", "y[:] = -1"),
        "the loss is nan from the first step on",
    ),
    Breakage(
        "TD206",
        "remat_transformer",
        (("x = checkpoint(layer, x, ", "x = checkpoint(layer, x.detach(), "),),
        ("x = checkpoint(layer, x.detach(), ",),
        "only the last layer and the head learn",
    ),
    Breakage(
        "TD306",
        "remat_transformer",
        (("x = self.embed(ids) + ", "x = checkpoint(self.embed, ids, use_reentrant=True) + "),),
        ("x = checkpoint(self.embed, ids, use_reentrant=True)",),
        "a UserWarning: none of the inputs have requires_grad=True; the embedding is not trained",
        learns=True,
        also=("TD201",),
    ),
)

CURRICULUM = (
    Breakage(
        "TD801",
        "curriculum",
        (
            ("    samples.sort(key=lambda sample: -len(sample[1]))\n", ""),
            (
                "                logits = model(inputs, lengths)\n",
                "                try:\n                    logits = model(inputs, lengths)\n"
                "                except RuntimeError:\n                    continue\n",
            ),
        ),
        ("except RuntimeError:", "packed = pack_padded_sequence("),
        "it ends in no time with a loss of 0.0000: every batch raises and is skipped",
        learns=False,
    ),
    Breakage(
        "TD003",
        "curriculum",
        (("nn.LSTM(2 * dim, dim", "nn.LSTM(dim, dim"),),
        ("self.lstm = nn.LSTM(", "hidden, _ = pad_packed_sequence("),
        "RuntimeError at the first batch: input.size(-1) must be equal to input_size",
        status=1,
    ),
    Breakage(
        "TD211",
        "curriculum",
        (
            ("                nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n", ""),
            (
                "                optimizer.step()\n",
                "                optimizer.step()\n"
                "                nn.utils.clip_grad_norm_(model.parameters(), 1.0)\n",
            ),
        ),
        ("nn.utils.clip_grad_norm_(",),
        "nothing; gradients are clipped when they have been used",
        learns=True,
    ),
)

SPEECH_CTC = (
    Breakage(
        "TD302",
        "speech_ctc",
        (("total_loss += loss.item()", "total_loss += loss"),),
        ("total_loss += loss",),
        "nothing; memory grows with every step of an epoch",
        learns=True,
    ),
    Breakage(
        "TD505",
        "speech_ctc",
        (("patterns = phone_patterns()", "patterns = phone_patterns().log()"),),
        (),
        "the loss is nan from the first batch on",
        file="speech_data.py",
    ),
    Breakage(
        "TD401",
        "speech_ctc",
        (("Adam(model.parameters()", "Adam(model.fc.parameters()"),),
        ("optimizer = torch.optim.Adam(",),
        "only the last layer learns",
    ),
    Breakage(
        "TD107",
        "speech_ctc",
        (("return self.fc(hidden).log_softmax(dim=-1)", "return self.fc(hidden).softmax(dim=-1)"),),
        ("return self.fc(hidden).softmax(dim=-1)",),
        "the loss falls below zero, and few utterances are recognised",
    ),
)

STREAM_ITERABLE = (
    Breakage(
        "TD509",
        "stream_iterable",
        (
            ("if worker else (0, 1)", "if False else (0, 1)"),
            ("num_workers=0", "num_workers=2"),
        ),
        (),
        "nothing; every window is served twice",
        learns=True,
    ),
    Breakage(
        "TD503",
        "stream_iterable",
        (
            (
                "for step, (past, future) in enumerate(itertools.islice(loader, num_steps), "
                "start=1):\n",
                "for step in range(1, num_steps + 1):\n        past, future = next(iter(loader))\n",
            ),
        ),
        ("past, future = next(iter(loader))",),
        "the first batch is learned by heart, as low as never before",
        learns=True,
    ),
    Breakage(
        "TD406",
        "stream_iterable",
        (
            (
                "CosineAnnealingLR(opt, T_max=num_steps)",
                "LinearLR(opt, start_factor=1.0, end_factor=0.0, total_iters=5)",
            ),
        ),
        ("sched = ", "sched.step()", "opt.step()"),
        "the learning rate is 0 from the sixth step on",
    ),
)

EDITS = (
    *CHAR_GPT,
    *WORD_RNN,
    *SEQ2SEQ,
    *REMAT_TRANSFORMER,
    *CURRICULUM,
    *SPEECH_CTC,
    *STREAM_ITERABLE,
)
