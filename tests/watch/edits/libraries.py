"""Faults in scripts over transformers, accelerate, Lightning, torch.compile and DDP."""

from __future__ import annotations

from tests.watch.build import Breakage

HF_SENTIMENT = (
    Breakage(
        "TD212",
        "hf_sentiment",
        (
            (
                "    model = BertForSequenceClassification(config)\n",
                "    model = BertForSequenceClassification(config)\n"
                "    model.requires_grad_(False)\n",
            ),
        ),
        ("model.requires_grad_(False)",),
        "RuntimeError at the first backward: element 0 of tensors does not require grad",
        status=1,
    ),
    Breakage(
        "TD802",
        "hf_sentiment",
        (
            (
                "    model = BertForSequenceClassification(config)\n",
                "    model = BertForSequenceClassification(config)\n"
                "    model.bert.register_forward_hook(lambda _, args, out: print(out.shape))\n",
            ),
        ),
        ("register_forward_hook",),
        "AttributeError at the first batch: a ModelOutput has no shape",
        status=1,
    ),
    Breakage(
        "TD507",
        "hf_sentiment",
        (("label = rng.randint(0, 1)", "label = rng.randint(1, 1)"),),
        (),
        "the loss is near 0 after some steps: all labels are the same",
        learns=True,
    ),
    Breakage(
        "TD512",
        "hf_sentiment",
        (
            ("max_length=16", "max_length=64"),
            ("max_position_embeddings=32", "max_position_embeddings=64"),
        ),
        (),
        "nothing but time: four of five tokens are padding",
        learns=True,
    ),
    Breakage(
        "TD015",
        "hf_sentiment",
        (("[1] * len(ids) + [0] * pad", "[0] * len(ids) + [1] * pad"),),
        ('"attention_mask": torch.tensor(',),
        "the loss stays at a guess: only the padding is attended to",
    ),
)

HF_WEIGHTED_LOSS = (
    Breakage(
        "TD010",
        "hf_weighted_loss",
        (
            ("trainer = WeightedTrainer(", "trainer = Trainer("),
            ("        class_weights=counts.sum() / (3 * counts),\n", ""),
        ),
        ("trainer = Trainer(",),
        "nothing; the rare class is not weighted",
        learns=True,
    ),
    Breakage(
        "TD106",
        "hf_weighted_loss",
        (
            (
                "return (loss, outputs) if return_outputs else loss",
                "return (loss, outputs) if return_outputs else -loss",
            ),
        ),
        ("else -loss", "loss = loss_fct("),
        "the logged loss falls below zero without end",
    ),
    Breakage(
        "TD101",
        "hf_weighted_loss",
        (("loss_fct(outputs.logits.view(", "loss_fct(outputs.logits.detach().view("),),
        ("outputs.logits.detach()",),
        "RuntimeError at the first backward: element 0 of tensors does not require grad",
        status=1,
        also=("TD206",),
    ),
)

HF_CALLBACK_EVAL = (
    Breakage(
        "TD009",
        "hf_callback_eval",
        (("ids.masked_fill(mask == 0, -100)", "torch.full_like(ids, -100)"),),
        ("labels = torch.full_like(ids, -100)", "trainer.train()"),
        "perplexity nan; the last line's assertion fails",
        status=1,
    ),
    Breakage(
        "TD007",
        "hf_callback_eval",
        (("vocab_size=len(CHARS) + 1", "vocab_size=len(CHARS)"),),
        ("vocab_size=len(CHARS)", "trainer.train()", "STOI = "),
        "IndexError at the first batch: index out of range in self",
        status=1,
    ),
    Breakage(
        "TD008",
        "hf_callback_eval",
        (
            (
                'return {"input_ids": [STOI[c] for c in self.lines[i]]}',
                'return {"line": self.lines[i]}',
            ),
            (
                "        longest = max(",
                '        ids = [[STOI[c] for c in f["line"]] for f in features]\n'
                '        features = [{"input_ids": row} for row in ids]\n'
                "        longest = max(",
            ),
        ),
        ("args=TrainingArguments(", "trainer.train()", "trainer = Trainer("),
        "KeyError in the collator: the Trainer took the column away",
        status=1,
    ),
)

ACCELERATE_TAGGER = (
    Breakage(
        "TD206",
        "accelerate_tagger",
        (("return self.out(hidden)", "return self.out(hidden.detach())"),),
        ("return self.out(hidden.detach())",),
        "only the last layer learns; accuracy grows slowly",
    ),
    Breakage(
        "TD401",
        "accelerate_tagger",
        (("AdamW(model.parameters()", "AdamW(model.out.parameters()"),),
        ("optimizer = torch.optim.AdamW(",),
        "only the last layer learns; accuracy grows slowly",
    ),
    Breakage(
        "TD209",
        "accelerate_tagger",
        (
            ("                optimizer.zero_grad()\n", ""),
            (
                "                optimizer.step()\n",
                "                optimizer.zero_grad()\n                optimizer.step()\n",
            ),
        ),
        ("optimizer.zero_grad()", "optimizer.step()"),
        "accuracy is the same number each epoch",
    ),
    Breakage(
        "TD001",
        "accelerate_tagger",
        (('logits = model(batch["input_ids"])', "logits = model(**batch)"),),
        ("logits = model(**batch)", "def forward(self, input_ids):"),
        "TypeError at the first batch: unexpected keyword argument 'tags'",
        status=1,
    ),
    Breakage(
        "TD003",
        "accelerate_tagger",
        (('batch["tags"].flatten())', 'batch["tags"][:, 1:].flatten())'),),
        ("loss = nn.functional.cross_entropy(",),
        "ValueError at the first batch: expected input batch_size to match target batch_size",
        status=1,
    ),
)

LIGHTNING_STROKES = (
    Breakage(
        "TD206",
        "lightning_strokes",
        (("self.body(self.encoder(x))", "self.body(self.encoder(x).detach())"),),
        ("self.encoder(x).detach()",),
        "the encoder keeps its initial values; the rest learns",
        learns=True,
    ),
    Breakage(
        "TD401",
        "lightning_strokes",
        (("AdamW(self.parameters()", "AdamW(self.head.parameters()"),),
        ("optimizer = torch.optim.AdamW(",),
        "only the head learns",
    ),
    Breakage(
        "TD107",
        "lightning_strokes",
        (
            (
                "loss = F.cross_entropy(self(x), y)",
                "loss = F.cross_entropy(self(x).softmax(dim=1), y)",
            ),
        ),
        ("loss = F.cross_entropy(self(x).softmax(dim=1), y)",),
        "the training loss stays above 0.9; the validation loss falls",
        learns=True,
    ),
)

LIGHTNING_GAN = (
    Breakage(
        "TD101",
        "lightning_gan",
        (
            (
                "self.adversarial_loss(self(z), True)",
                "self.adversarial_loss(self(z).detach(), True)",
            ),
        ),
        ("self(z).detach(), True", "self.manual_backward(g_loss)"),
        "RuntimeError at the generator's first backward",
        status=1,
        also=("TD206",),
    ),
    Breakage(
        "TD403",
        "lightning_gan",
        (("        opt_g.step()\n", ""),),
        ("self.manual_backward(g_loss)", "opt_g = torch.optim.Adam("),
        "the generator keeps its initial values",
    ),
    Breakage(
        "TD208",
        "lightning_gan",
        (("        opt_d.zero_grad()\n", ""),),
        ("opt_d.step()", "self.manual_backward(d_loss)"),
        "the discriminator follows the sum of all its gradients",
    ),
)

COMPILE_MLP = (
    Breakage(
        "TD709",
        "compile_mlp",
        (
            (
                "nn.ModuleList(Block(dim) for _ in range(depth))",
                "[Block(dim) for _ in range(depth)]",
            ),
        ),
        ("self.blocks = [",),
        "the blocks keep their initial values; stem and head learn",
    ),
    Breakage(
        "TD402",
        "compile_mlp",
        (("torch.compile(model, ", "torch.compile(MapNet(), "),),
        ("compiled = torch.compile(", "optimizer = torch.optim.Adam("),
        "the loss stays where it is",
    ),
    Breakage(
        "TD003",
        "compile_mlp",
        (("self.head = nn.Linear(dim, 2)", "self.head = nn.Linear(2 * dim, 2)"),),
        (
            "self.head = nn.Linear(2 * dim, 2)",
            "return self.head(x)",
            "loss = nn.functional.mse_loss(",
        ),
        "TorchRuntimeError while the first batch is traced",
        status=1,
    ),
)

LORA_LLAMA = (
    Breakage(
        "TD704",
        "lora_llama",
        (("nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))", "nn.init.zeros_(self.lora_A)"),),
        ("nn.init.zeros_(self.lora_A)", "self.lora_B = nn.Parameter("),
        "the loss stays where it is: both factors are zero, and so are their gradients",
    ),
    Breakage(
        "TD009",
        "lora_llama",
        (("            labels[-1] = ids[-1]\n", ""),),
        ("outputs = model(**batch)", "labels = torch.full_like(ids, -100)"),
        "loss=nan from the first step on",
    ),
    Breakage(
        "TD401",
        "lora_llama",
        (
            (
                "    model = add_adapters(LlamaForCausalLM(config), args.rank, args.alpha)\n",
                "    model = LlamaForCausalLM(config)\n"
                "    params = [p for p in model.parameters() if p.requires_grad]\n"
                "    add_adapters(model, args.rank, args.alpha)\n",
            ),
            (
                "    params = [p for p in model.parameters() if p.requires_grad]\n    optimizer",
                "    optimizer",
            ),
        ),
        ("optimizer = torch.optim.AdamW(params", "add_adapters(model, args.rank, args.alpha)"),
        "the loss stays where it is: the optimizer has the frozen weights, not the adapters",
        also=("TD402",),
    ),
)

DDP_GLOO = (
    Breakage(
        "TD401",
        "ddp_gloo",
        (("SGD(model.parameters()", "SGD(model.module.fc.parameters()"),),
        ("optimizer = torch.optim.SGD(",),
        "only the last layer learns",
    ),
    Breakage(
        "TD504",
        "ddp_gloo",
        (("rank=rank, shuffle=True", "rank=rank, shuffle=False"),),
        ("sampler = DistributedSampler(", "loader = DataLoader(", "for x, y in loader:"),
        "nothing; each epoch has the same order",
        learns=True,
        is_information=True,
    ),
    Breakage(
        "TD208",
        "ddp_gloo",
        (("            optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "loss.backward()"),
        "the loss rises",
    ),
)

EDITS = (
    *HF_SENTIMENT,
    *HF_WEIGHTED_LOSS,
    *HF_CALLBACK_EVAL,
    *ACCELERATE_TAGGER,
    *LIGHTNING_STROKES,
    *LIGHTNING_GAN,
    *COMPILE_MLP,
    *LORA_LLAMA,
    *DDP_GLOO,
)
