"""Faults in plain supervised loops."""

from __future__ import annotations

from tests.watch.build import Breakage

SPIRALS = (
    Breakage(
        "TD208",
        "spirals",
        (("        optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "loss.backward()"),
        "the loss is far above chance and jumps about",
    ),
    Breakage(
        "TD107",
        "spirals",
        (
            (
                "    nn.Linear(256, classes),\n",
                "    nn.Linear(256, classes),\n    nn.Softmax(dim=1),\n",
            ),
        ),
        ("loss = criterion(", "nn.Softmax(dim=1)", "logits = model(X_train[idx])"),
        "the loss stays at 0.55 and above, where no answer is wrong",
    ),
    Breakage(
        "TD106",
        "spirals",
        (("loss = criterion(", "loss = -criterion("),),
        ("loss = -criterion(",),
        "the loss falls below zero without end and becomes nan",
    ),
)

SHAPES_CNN = (
    Breakage(
        "TD701",
        "shapes_cnn",
        (("    model.train()\n", ""),),
        ("model.eval()",),
        "batch norm's statistics stand still from the second epoch on; half the accuracy",
    ),
    Breakage(
        "TD003",
        "shapes_cnn",
        (("32 * 5 * 5", "32 * 4 * 4"),),
        ("self.fc1 = nn.Linear(", "F.relu(self.fc1(x))"),
        "RuntimeError at the first batch: mat1 and mat2 shapes cannot be multiplied",
        status=1,
    ),
    Breakage(
        "TD808",
        "shapes_cnn",
        (
            ("        loss.backward()\n        optimizer.step()\n", "        loss.backward()\n"),
            ('Loss: {loss.item():.6f}")\n', 'Loss: {loss.item():.6f}")\n    optimizer.step()\n'),
        ),
        ("optimizer.step()",),
        "three steps in all; the loss hardly moves",
    ),
    Breakage(
        "TD502",
        "shapes_cnn",
        (
            (
                "        loss.backward()\n",
                "        if batch_idx % args.log_interval != 0:\n            continue\n"
                "        loss.backward()\n",
            ),
        ),
        ("if batch_idx % args.log_interval != 0:", "continue"),
        "four of five batches are not trained on",
        also=("TD404",),
    ),
)

TABULAR_TRAINER = (
    Breakage(
        "TD012",
        "tabular_trainer",
        (("return self.net(x).squeeze(-1)", "return self.net(x)"),),
        ("loss = self.criterion(self.model(x), y)",),
        "a UserWarning about the target's size; the loss stays at 1",
    ),
    Breakage(
        "TD209",
        "tabular_trainer",
        (
            ("            self.optimizer.zero_grad(set_to_none=True)\n", ""),
            (
                "            loss.backward()\n",
                "            loss.backward()\n"
                "            self.optimizer.zero_grad(set_to_none=True)\n",
            ),
        ),
        ("self.optimizer.zero_grad(set_to_none=True)", "self.optimizer.step()"),
        "the validation loss is the same number each epoch, and early stopping ends the run",
    ),
    Breakage(
        "TD702",
        "tabular_trainer",
        (("        self.model.eval()\n", ""),),
        ("total += self.criterion(", "for x, y in self.valid_loader:", "def validate("),
        "the best loss is another when it is measured again",
        learns=True,
    ),
)

COSINE_REGRESSION = (
    Breakage(
        "TD808",
        "cosine_regression",
        (
            ("        optimizer.step()\n", ""),
            ("    scheduler.step()\n", "    optimizer.step()\n    scheduler.step()\n"),
        ),
        ("    optimizer.step()",),
        "twelve steps in all; the loss stays near 1",
    ),
    Breakage(
        "TD402",
        "cosine_regression",
        (
            (
                "\nfor epoch in range(EPOCHS):",
                "model = Sequential(FourierFeatures(), Linear(128, 192), GELU(), Linear(192, 1))\n"
                "\nfor epoch in range(EPOCHS):",
            ),
        ),
        (
            "model = Sequential(FourierFeatures(), Linear(128, 192), GELU(), Linear(192, 1))",
            "AdamW(",
        ),
        "the loss stays where it is",
    ),
    Breakage(
        "TD806",
        "cosine_regression",
        (("epoch_loss /= len(coords)", "epoch_loss /= len(loader)"),),
        ("epoch_loss /= len(loader)", "print(f", "epoch_loss += "),
        "the printed loss is 512 times the mean, and falls",
    ),
)

ONECYCLE = (
    Breakage(
        "TD411",
        "onecycle",
        (
            (
                "            loss.backward()\n"
                "            nn.utils.clip_grad_value_(model.parameters(), grad_clip)\n",
                "",
            ),
            (
                "            optimizer.zero_grad()\n",
                "            optimizer.zero_grad()\n            loss.backward()\n"
                "            nn.utils.clip_grad_value_(model.parameters(), grad_clip)\n",
            ),
        ),
        ("optimizer.step()",),
        "RuntimeError at the first backward: the step has changed the weights it needs",
        status=1,
    ),
    Breakage(
        "TD406",
        "onecycle",
        (
            (
                "OneCycleLR(optimizer, max_lr, epochs=epochs, steps_per_epoch=len(train_loader))",
                "torch.optim.lr_scheduler.PolynomialLR(optimizer, total_iters=epochs)",
            ),
        ),
        ("sched = ", "sched.step()", "optimizer.step()"),
        "the learning rate is 0 from the fifth batch on",
    ),
    Breakage(
        "TD201",
        "onecycle",
        (("out = self.res1(out) + out", "out = F.relu(out)"),),
        ("self.res1 = nn.Sequential(",),
        "the residual block is built and never called; the rest learns",
        learns=True,
    ),
    Breakage(
        "TD702",
        "onecycle",
        (("    model.eval()\n", "    model.train()\n"),),
        ("model.train() @1", "outputs = [(model(x), y)"),
        "the validation's figures are those of the train mode",
        learns=True,
    ),
)

PLATEAU = (
    Breakage(
        "TD701",
        "plateau",
        (("        model.train()\n", ""),),
        ("model.eval()",),
        "dropout is off from the second epoch on",
        learns=True,
    ),
    Breakage(
        "TD005",
        "plateau",
        (("torch.tensor(series, dtype=torch.float32)", "torch.tensor(series)"),),
        ("_, (h, _) = self.lstm(x)", "torch.tensor(series)"),
        "RuntimeError at the first batch: a double meets float weights",
        status=1,
    ),
    Breakage(
        "TD407",
        "plateau",
        (("        scheduler.step(valid_loss)\n", ""),),
        ("scheduler = optim.lr_scheduler.ReduceLROnPlateau(",),
        "the schedule is built and never stepped",
        learns=True,
    ),
)

SWA = (
    Breakage(
        "TD703",
        "swa",
        (
            (
                "DataLoader(make_dataset(2048, 0), batch_size=64",
                "DataLoader(make_dataset(2048, 0), batch_size=89",
            ),
        ),
        ("self.bn1(self.fc1(x))", "DataLoader(make_dataset(2048, 0), batch_size=89"),
        "ValueError at the end of the first epoch: its last batch is one sample",
        status=1,
    ),
    Breakage(
        "TD208",
        "swa",
        (("        optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "loss.backward()"),
        "the loss explodes",
    ),
    Breakage(
        "TD504",
        "swa",
        (("batch_size=64, shuffle=True)", "batch_size=64)"),),
        (
            "loader = DataLoader(make_dataset(2048, 0), batch_size=64)",
            "for input, target in loader:",
        ),
        "nothing; each epoch has the same order",
        learns=True,
        is_information=True,
    ),
)

CUSTOM_FUNCTION = (
    Breakage(
        "TD202",
        "custom_function",
        (("(input.abs() <= 1)", "(input.abs() > 1)"),),
        ("return grad_output *", "F.linear(x, Sign.apply(self.weight))"),
        "the binary weights get a gradient of exactly 0; the rest learns",
    ),
    Breakage(
        "TD003",
        "custom_function",
        (
            (
                "self.fc2 = BinaryLinear(hidden, hidden)",
                "self.fc2 = BinaryLinear(hidden // 2, hidden)",
            ),
        ),
        ("self.fc2 = BinaryLinear(", "self.bn2(self.fc2(x))", "return self.gain *"),
        "RuntimeError at the first batch",
        status=1,
    ),
    Breakage(
        "TD401",
        "custom_function",
        (("Adam(model.parameters()", "Adam(model.out.parameters()"),),
        ("optimizer = torch.optim.Adam(model.out.parameters()",),
        "only the last layer learns",
    ),
)

TRAIN_LOADER_EVAL = (
    Breakage(
        "TD107",
        "train_loader_eval",
        (
            (
                "return self.out(self.dropout(state[0]))",
                "return self.out(self.dropout(state[0])).softmax(1)",
            ),
        ),
        (
            "return self.out(self.dropout(state[0])).softmax(1)",
            "criterion(model(ids), labels).backward()",
        ),
        "learning is slow and the loss cannot come near 0",
    ),
    Breakage(
        "TD701",
        "train_loader_eval",
        (("        model.train()\n", ""),),
        ("    model.eval()",),
        "dropout is off from the second epoch on",
        learns=True,
    ),
    Breakage(
        "TD809",
        "train_loader_eval",
        (("            optimizer.step()\n", "            optimizer.step()\n            break\n"),),
        ("break",),
        "one step an epoch; the loss hardly moves",
    ),
)

KFOLD = (
    Breakage(
        "TD012",
        "kfold",
        (("((y - y.mean()) / y.std())[:, None]", "(y - y.mean()) / y.std()"),),
        ("loss = criterion(model(x), y)",),
        "a UserWarning about the target's size; the loss stays at 1",
    ),
    Breakage(
        "TD402",
        "kfold",
        (("Adam(model.parameters()", "Adam(make_model().parameters()"),),
        ("optimizer = torch.optim.Adam(",),
        "no fold learns",
    ),
    Breakage(
        "TD302",
        "kfold",
        (("total += loss.item()", "total += loss"),),
        ("total += loss",),
        "nothing; memory grows with every step, the graphs of all epochs are kept",
        learns=True,
    ),
    Breakage(
        "TD408",
        "kfold",
        (
            (
                "torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-5)",
                "torch.optim.SGD(model.parameters(), lr=50, momentum=0.9)",
            ),
        ),
        ("optimizer = torch.optim.SGD(",),
        "the loss is nan in every fold",
    ),
    Breakage(
        "TD704",
        "kfold",
        (
            (
                "        model = make_model()\n",
                "        model = make_model()\n"
                "        for p in model.parameters() if fold else ():\n"
                "            nn.init.zeros_(p)\n",
            ),
        ),
        ("nn.init.zeros_(p)",),
        "from the second fold on the loss stays at 1",
    ),
)

EDITS = (
    *SPIRALS,
    *SHAPES_CNN,
    *TABULAR_TRAINER,
    *COSINE_REGRESSION,
    *ONECYCLE,
    *PLATEAU,
    *SWA,
    *CUSTOM_FUNCTION,
    *TRAIN_LOADER_EVAL,
    *KFOLD,
)
