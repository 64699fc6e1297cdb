"""Faults in scripts with several models, stages or tasks."""

from __future__ import annotations

from tests.watch.build import Breakage

SIMCLR = (
    Breakage(
        "TD203",
        "simclr",
        (
            (
                "similarity = z @ z.T / TEMPERATURE",
                "similarity = -((z[:, None] - z[None]) ** 2).sum(-1).sqrt() / TEMPERATURE",
            ),
        ),
        ("similarity = -((z[:, None]",),
        "the loss is nan from the second batch on: the root of a distance of 0",
    ),
    Breakage(
        "TD206",
        "simclr",
        (("self.projector(self.encoder(x))", "self.projector(self.encoder(x).detach())"),),
        ("self.encoder(x).detach()",),
        "only the projector learns",
    ),
    Breakage(
        "TD208",
        "simclr",
        (("            optimizer.zero_grad()\n", ""),),
        ("            optimizer.step()", "            loss.backward()"),
        "the loss falls less far",
    ),
)

MEAN_TEACHER = (
    Breakage(
        "TD212",
        "mean_teacher",
        (("    for p in teacher.parameters():\n", "    for p in student.parameters():\n"),),
        ("for p in student.parameters():", "p.requires_grad_(False)"),
        "RuntimeError at the first backward: the student is frozen, not the teacher",
        status=1,
    ),
    Breakage(
        "TD701",
        "mean_teacher",
        (("        student.train()\n", ""),),
        ("model.eval()",),
        "the student is in eval mode from the second epoch on",
        learns=True,
    ),
    Breakage(
        "TD209",
        "mean_teacher",
        (
            (
                "            optimizer.zero_grad()\n            loss.backward()\n",
                "            loss.backward()\n            optimizer.zero_grad()\n",
            ),
        ),
        ("optimizer.zero_grad()", "optimizer.step()"),
        "the loss stays where it is",
    ),
)

DISTILL = (
    Breakage(
        "TD212",
        "distill",
        (("    for p in teacher.parameters():\n", "    for p in student.parameters():\n"),),
        ("for p in student.parameters():", "p.requires_grad = False"),
        "RuntimeError at the student's first backward: the student is frozen, not the teacher",
        status=1,
    ),
    Breakage(
        "TD401",
        "distill",
        (("Adam(student.parameters()", "Adam(teacher.parameters()"),),
        ("optimizer = torch.optim.Adam(teacher.parameters(), lr=4e-3)",),
        "the student keeps its initial values",
        also=("TD402",),
    ),
    Breakage(
        "TD107",
        "distill",
        (
            (
                "hard = F.cross_entropy(student_logits, y)",
                "hard = F.cross_entropy(student_logits.softmax(dim=1), y)",
            ),
        ),
        ("hard = F.cross_entropy(",),
        "nothing to see: the soft targets teach the student",
        learns=True,
    ),
)

MULTITASK = (
    Breakage(
        "TD401",
        "multitask",
        (("Adam(model.parameters()", "Adam(model.trunk.parameters()"),),
        ("optimizer = torch.optim.Adam(",),
        "the heads and the task weights keep their initial values; the trunk learns for them",
        learns=True,
    ),
    Breakage(
        "TD206",
        "multitask",
        (("features = self.trunk(spectrum)", "features = self.trunk(spectrum).detach()"),),
        ("self.trunk(spectrum).detach()",),
        "the trunk keeps its initial values",
    ),
    Breakage(
        "TD001",
        "multitask",
        (('model(batch["spectrum"])', "model(**batch)"),),
        ("losses = task_losses(model(**batch), batch)", "def forward(self, spectrum):"),
        "TypeError at the first batch: unexpected keyword argument 'age'",
        status=1,
    ),
    Breakage(
        "TD012",
        "multitask",
        (('self.heads["age"](features).squeeze(-1)', 'self.heads["age"](features)'),),
        ('"age": F.mse_loss(',),
        "a UserWarning about the target's size; the age is not learned",
        learns=True,
    ),
)

PARAM_GROUPS = (
    Breakage(
        "TD402",
        "param_groups",
        (
            ("AdamW(get_param_groups(model, 3e-3, 3e-4)), loader, 4)", "optimizer, loader, 4)"),
            (
                "    model = Classifier(backbone, num_classes=4)\n",
                "    optimizer = AdamW(get_param_groups(model, 3e-3, 3e-4))\n"
                "    model = Classifier(backbone, num_classes=4)\n",
            ),
        ),
        ("optimizer = AdamW(get_param_groups(", "model = Classifier(backbone, num_classes=4)"),
        "the new head keeps its initial values; the backbone learns for it",
        also=("TD401",),
    ),
    Breakage(
        "TD406",
        "param_groups",
        (("1.0 - 0.9 * step / total", "max(0.0, 1.0 - step / num_epochs)"),),
        ("scheduler = LambdaLR(", "scheduler.step()", "optimizer.step()"),
        "the learning rate is 0 from the sixth batch on",
    ),
    Breakage(
        "TD401",
        "param_groups",
        (('(("backbone", backbone_lr), ("head", head_lr))', '(("backbone", backbone_lr),)'),),
        ('for prefix, lr in (("backbone"', "AdamW(get_param_groups("),
        "the new head keeps its initial values; the backbone learns for it",
    ),
)

UNFREEZE = (
    Breakage(
        "TD212",
        "unfreeze",
        (("    model.head.requires_grad_(True)\n", ""),),
        ("model.requires_grad_(stage >= 2)", "optim.Adam(params, lr=lr)"),
        "ValueError: optimizer got an empty parameter list",
        status=1,
    ),
    Breakage(
        "TD401",
        "unfreeze",
        (
            (
                "    for stage, lr in enumerate([1e-2, 4e-3, 2e-3]):\n"
                "        set_trainable(model, stage)\n"
                "        params = [p for p in model.parameters() if p.requires_grad]\n"
                "        train_epochs(model, target, optim.Adam(params, lr=lr), 2, ",
                "    set_trainable(model, 0)\n"
                "    params = [p for p in model.parameters() if p.requires_grad]\n"
                "    optimizer = optim.Adam(params, lr=4e-3)\n"
                "    for stage in range(3):\n        set_trainable(model, stage)\n"
                "        train_epochs(model, target, optimizer, 2, ",
            ),
        ),
        (
            "optimizer = optim.Adam(params",
            "params = [p for",
        ),
        "what is unfrozen later is in no optimizer",
        learns=False,
    ),
    Breakage(
        "TD007",
        "unfreeze",
        (("    model.head = nn.Linear(32, 3)\n", "    model.head = nn.Linear(32, 2)\n"),),
        ("loss = criterion(model(x), y)", "model.head = nn.Linear(32, 2)"),
        "IndexError at the first target batch: target 2 is out of bounds",
        status=1,
    ),
)

RESUME = (
    Breakage(
        "TD417",
        "resume",
        (('    optimizer.load_state_dict(checkpoint["optimizer"])\n', ""),),
        ('model.load_state_dict(checkpoint["model"])', "checkpoint = torch.load("),
        "nothing; the momentum starts from nothing again",
        learns=True,
    ),
    Breakage(
        "TD402",
        "resume",
        (("SGD(model.parameters()", "SGD(Net().parameters()"),),
        ("optimizer = torch.optim.SGD(",),
        "the loss stays where it is",
    ),
    Breakage(
        "TD507",
        "resume",
        (
            (
                "labels = torch.randint(0, 10, (2000,), generator=g)",
                "labels = torch.zeros(2000, dtype=torch.long)",
            ),
        ),
        (),
        "the loss is 0 in no time: all labels are the same",
        learns=True,
    ),
)

EDITS = (
    *SIMCLR,
    *MEAN_TEACHER,
    *DISTILL,
    *MULTITASK,
    *PARAM_GROUPS,
    *UNFREEZE,
    *RESUME,
)
