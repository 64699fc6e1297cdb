"""Faults in scripts that come near to looking faulty when they are well."""

from __future__ import annotations

from tests.watch.build import Breakage

INFINITE_LOADER = (
    Breakage(
        "TD208",
        "infinite_loader",
        (("        optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "loss.backward()"),
        "the loss does not fall as it did",
    ),
    Breakage(
        "TD701",
        "infinite_loader",
        (("    model.train()\n    return hits", "    return hits"),),
        ("model.eval()",),
        "dropout is off from the first evaluation on",
        learns=True,
    ),
    Breakage(
        "TD206",
        "infinite_loader",
        (("self.head(x.mean(dim=1))", "self.head(x.mean(dim=1).detach())"),),
        ("self.head(x.mean(dim=1).detach())",),
        "only the head learns",
    ),
)

SAM = (
    Breakage(
        "TD401",
        "sam",
        (("SAM(model.parameters()", "SAM(model.layers[4].parameters()"),),
        ("optimizer = SAM(",),
        "only the last layer learns",
    ),
    Breakage(
        "TD405",
        "sam",
        (("        self.base_optimizer.step()\n", ""),),
        ("optimizer.step(closure)", "optimizer = SAM(", "p.copy_(self.state[p]["),
        "the loss stays where it is: the weights are moved and moved back",
        also=("TD403",),
    ),
    Breakage(
        "TD107",
        "sam",
        (("nn.Linear(200, 7)\n", "nn.Linear(200, 7), nn.Softmax(dim=1)\n"),),
        ("loss = loss_fn(model(x), y)", "nn.Softmax(dim=1)"),
        "the loss stays above 1.16, where no answer is wrong",
    ),
)

MIXUP_FROZEN_BN = (
    Breakage(
        "TD401",
        "mixup_frozen_bn",
        (('            {"params": model.backbone.parameters(), "lr": 5e-4},\n', ""),),
        ("optimizer = torch.optim.AdamW(",),
        "only the head learns",
    ),
    Breakage(
        "TD107",
        "mixup_frozen_bn",
        (
            (
                "F.cross_entropy(model(x), target)",
                "F.cross_entropy(model(x).softmax(dim=1), target)",
            ),
        ),
        ("F.cross_entropy(model(x).softmax(dim=1), target)",),
        "learning is slow",
        learns=True,
    ),
    Breakage(
        "TD209",
        "mixup_frozen_bn",
        (
            (
                "            optimizer.zero_grad()\n"
                "            loss = F.cross_entropy(model(x), target)\n"
                "            loss.backward()\n",
                "            loss = F.cross_entropy(model(x), target)\n"
                "            loss.backward()\n"
                "            optimizer.zero_grad()  # for the next batch\n",
            ),
        ),
        ("optimizer.zero_grad()  # for the next batch", "optimizer.step() @2"),
        "the validation loss is the same number each epoch",
    ),
)

PROMPT_TUNING = (
    Breakage(
        "TD402",
        "prompt_tuning",
        (("AdamW([model.prompt]", "AdamW([model.prompt.detach().clone().requires_grad_()]"),),
        ("optimizer = torch.optim.AdamW([model.prompt.detach()",),
        "the loss stays where it is",
        also=("TD401",),
    ),
    Breakage(
        "TD101",
        "prompt_tuning",
        (("prompt = self.prompt.expand(", "prompt = self.prompt.detach().expand("),),
        ("prompt = self.prompt.detach().expand(",),
        "RuntimeError at the first prompt step: element 0 of tensors does not require grad",
        status=1,
        also=("TD206",),
    ),
    Breakage(
        "TD106",
        "prompt_tuning",
        (("loss = next_token_loss(model(ids), ids)", "loss = -next_token_loss(model(ids), ids)"),),
        ("loss = -next_token_loss(model(ids), ids)", "nn.functional.cross_entropy("),
        "the loss falls below zero without end",
    ),
)

AMP_FP16 = (
    Breakage(
        "TD414",
        "amp_fp16",
        (("scaler.step(optimizer)", "optimizer.step()"),),
        ("optimizer.step()",),
        "the loss is nan: infinite gradients reach the weights",
    ),
    Breakage(
        "TD211",
        "amp_fp16",
        (("            scaler.unscale_(optimizer)\n", ""),),
        ("nn.utils.clip_grad_norm_(model.parameters(), 1.0)",),
        "it learns less well: what is clipped is a million times the gradient",
        learns=True,
    ),
    Breakage(
        "TD403",
        "amp_fp16",
        (("            scaler.step(optimizer)\n", ""),),
        ("scaler.scale(loss).backward()", "optimizer = torch.optim.Adam("),
        "the loss stays where it is",
    ),
)

MOCO_QUEUE = (
    Breakage(
        "TD401",
        "moco_queue",
        (
            (
                "model.encoder_q.parameters(), lr",
                "model.encoder_q.project.parameters(), lr",
            ),
        ),
        ("optimizer = torch.optim.SGD(",),
        "only the projection learns",
    ),
    Breakage(
        "TD212",
        "moco_queue",
        (("for p in self.encoder_k.parameters():", "for p in self.encoder_q.parameters():"),),
        ("for p in self.encoder_q.parameters():", "p.requires_grad = False"),
        "RuntimeError at the first backward: the query encoder is frozen, not the key encoder",
        status=1,
    ),
    Breakage(
        "TD415",
        "moco_queue",
        (
            (
                "k.data = k.data * self.momentum + q.data * (1.0 - self.momentum)",
                "q.data = k.data * self.momentum + q.data * (1.0 - self.momentum)",
            ),
        ),
        ("q.data = k.data * self.momentum",),
        "the query encoder is pulled back to its initial values after each step",
    ),
)

MC_DROPOUT = (
    Breakage(
        "TD401",
        "mc_dropout",
        (("AdamW(model.parameters()", "AdamW(model.mean.parameters()"),),
        ("optimizer = torch.optim.AdamW(",),
        "only one head learns",
    ),
    Breakage(
        "TD403",
        "mc_dropout",
        (("            optimizer.step()\n", ""),),
        ("loss.backward()", "optimizer = torch.optim.AdamW("),
        "the loss stays where it is",
    ),
    Breakage(
        "TD303",
        "mc_dropout",
        (
            (
                "        h = self.dropout(torch.tanh(self.fc2(h)))\n",
                "        h = torch.tanh(self.fc2(h))\n        h += 0.1 * torch.randn_like(h)\n",
            ),
        ),
        ("h += 0.1 * torch.randn_like(h)",),
        "RuntimeError at the first backward: modified by an inplace operation",
        status=1,
    ),
)

DDP_SPAWN = (
    Breakage(
        "TD208",
        "ddp_spawn",
        (("            optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "loss.backward()"),
        "the loss falls less far",
        learns=True,
    ),
    Breakage(
        "TD401",
        "ddp_spawn",
        (("AdamW(model.parameters()", "AdamW(model.module[2].parameters()"),),
        ("optimizer = torch.optim.AdamW(",),
        "only the last layer learns",
    ),
    Breakage(
        "TD003",
        "ddp_spawn",
        (("nn.Linear(22, 256)", "nn.Linear(21, 256)"),),
        ("nn.Linear(21, 256)", "loss = nn.functional.cross_entropy("),
        "ProcessRaisedException: mat1 and mat2 shapes cannot be multiplied",
        status=1,
    ),
)

EDITS = (
    *INFINITE_LOADER,
    *SAM,
    *MIXUP_FROZEN_BN,
    *PROMPT_TUNING,
    *AMP_FP16,
    *MOCO_QUEUE,
    *MC_DROPOUT,
    *DDP_SPAWN,
)
