"""Faults in scripts with unusual optimizers, derivatives or no loader at all."""

from __future__ import annotations

from tests.watch.build import Breakage

LBFGS_WAVES = (
    Breakage(
        "TD208",
        "lbfgs_waves",
        (("            optimizer.zero_grad()\n", ""),),
        ("loss.backward()", "loss = optimizer.step(closure)"),
        "the loss does not fall as it did",
    ),
    Breakage(
        "TD005",
        "lbfgs_waves",
        (("seq = Recurrent().double()", "seq = Recurrent()"),),
        ("h = self.cell(value, h)", "seq = Recurrent()"),
        "RuntimeError at the first step: a double meets float weights",
        status=1,
    ),
    Breakage(
        "TD405",
        "lbfgs_waves",
        (("            loss.backward()\n", ""),),
        ("loss = optimizer.step(closure)",),
        "the loss stays where it is: there are no gradients",
    ),
)

LION_OPTIMIZER = (
    Breakage(
        "TD408",
        "lion_optimizer",
        (("Lion(model.parameters(), lr=1e-3", "Lion(model.parameters(), lr=1.0"),),
        ("optimizer = Lion(", "optimizer.step()"),
        "the loss is in the billions",
        also=("TD105",),
    ),
    Breakage(
        "TD709",
        "lion_optimizer",
        (
            (
                "nn.ModuleList([Expert(dim, hidden) for _ in range(num_experts)])",
                "[Expert(dim, hidden) for _ in range(num_experts)]",
            ),
        ),
        ("self.experts = [",),
        "the experts keep their initial values",
    ),
    Breakage(
        "TD405",
        "lion_optimizer",
        (
            ('p.add_(update, alpha=-group["lr"])', 'p.add(update, alpha=-group["lr"])'),
            ("lr=1e-3, weight_decay=1e-2", "lr=1e-3, weight_decay=0.0"),
        ),
        ("optimizer.step()", 'p.add(update, alpha=-group["lr"])', "optimizer = Lion("),
        "the loss stays where it is: the new values are thrown away",
    ),
)

SGD_BY_HAND = (
    Breakage(
        "TD208",
        "sgd_by_hand",
        (("                p.grad.zero_()\n", ""),),
        ("loss.backward()", "p -= learning_rate * p.grad"),
        "the loss jumps about",
    ),
    Breakage(
        "TD007",
        "sgd_by_hand",
        (
            ("(torch.randn(H, C) *", "(torch.randn(H, C - 1) *"),
            ("b2 = torch.zeros(C,", "b2 = torch.zeros(C - 1,"),
        ),
        ("return -log_probs[", "W2 = "),
        "IndexError at the first batch: index 2 is out of bounds",
        status=1,
    ),
    Breakage(
        "TD302",
        "sgd_by_hand",
        (("epoch_loss += loss.item() *", "epoch_loss += loss *"),),
        ("epoch_loss += loss *",),
        "nothing to see: an epoch's graphs are kept until it ends",
        learns=True,
    ),
)

FUNCTIONAL_SGD = (
    Breakage(
        "TD401",
        "functional_sgd",
        (("Adam(model.parameters()", "Adam(model[0].parameters()"),),
        ("optimizer = torch.optim.Adam(",),
        "only the first layer learns",
    ),
    Breakage(
        "TD101",
        "functional_sgd",
        (("loss = task_losses.mean()", "loss = task_losses.detach().mean()"),),
        ("loss = task_losses.detach().mean()",),
        "RuntimeError at the first backward: element 0 of tensors does not require grad",
        status=1,
        also=("TD206",),
    ),
    Breakage(
        "TD208",
        "functional_sgd",
        (("        optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "loss.backward()"),
        "the loss falls less far",
    ),
)

SKIPGRAM = (
    Breakage(
        "TD704",
        "skipgram",
        (
            (
                "nn.init.uniform_(self.u_embeddings.weight, -bound, bound)",
                "nn.init.zeros_(self.u_embeddings.weight)",
            ),
            (
                "nn.init.uniform_(self.v_embeddings.weight, -bound, bound)",
                "nn.init.zeros_(self.v_embeddings.weight)",
            ),
        ),
        ("nn.init.zeros_(self.u_embeddings.weight)", "nn.init.zeros_(self.v_embeddings.weight)"),
        "the loss stays where it is: both tables are zero, and so are their gradients",
    ),
    Breakage(
        "TD208",
        "skipgram",
        (
            ("            optimizer.zero_grad()\n", ""),
            ('"--epochs", type=int, default=6', '"--epochs", type=int, default=2'),
        ),
        ("optimizer.step()", "loss.backward()"),
        "each step takes longer than the one before",
    ),
    Breakage(
        "TD007",
        "skipgram",
        (
            (
                "self.vocab_size = num_topics * words_per_topic",
                "self.vocab_size = (num_topics - 1) * words_per_topic",
            ),
        ),
        ("emb_u = self.u_embeddings(pos_u)", "model = SkipGram(", "self.vocab_size = "),
        "IndexError at the first batch: index out of range in self",
        status=1,
    ),
)

GCN = (
    Breakage(
        "TD505",
        "gcn",
        (
            (
                "    features = (features - features.mean(0)) / features.std(0)\n",
                "    features[:, 0] = 1.0  # a bias column\n"
                "    features = (features - features.mean(0)) / features.std(0)\n",
            ),
        ),
        (),
        "everything is nan: a column is divided by its spread of 0",
        also=("TD102",),
    ),
    Breakage(
        "TD007",
        "gcn",
        (("GCN(features.size(1), 64, 5)", "GCN(features.size(1), 64, 4)"),),
        ("loss_train = F.cross_entropy(", "model = GCN("),
        "IndexError at the first epoch: target 4 is out of bounds",
        status=1,
    ),
    Breakage(
        "TD701",
        "gcn",
        (("    model.train()\n", ""),),
        ("        model.eval()",),
        "dropout is off from the eleventh epoch on",
        learns=True,
    ),
)

PINN_HEAT = (
    Breakage(
        "TD401",
        "pinn_heat",
        (("Adam(model.parameters()", "Adam(model.net[0].parameters()"),),
        ("optimizer = torch.optim.Adam(",),
        "only the first layer learns",
    ),
    Breakage(
        "TD208",
        "pinn_heat",
        (("        optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "loss.backward()"),
        "the loss does not fall as it did",
    ),
    Breakage(
        "TD012",
        "pinn_heat",
        (("- initial_value(x0))", "- initial_value(x0).squeeze(1))"),),
        ("loss_initial = (",),
        "the initial value is fitted by its mean; no warning",
    ),
)

UNET = (
    Breakage(
        "TD107",
        "unet",
        (
            (
                "masks_pred = model(images).squeeze(1)",
                "masks_pred = torch.sigmoid(model(images)).squeeze(1)",
            ),
        ),
        ("loss = criterion(masks_pred, true_masks)", "masks_pred = torch.sigmoid("),
        "the loss stays high",
    ),
    Breakage(
        "TD702",
        "unet",
        (("    net.eval()\n", ""),),
        ("pred = (torch.sigmoid(net(", "for batch in dataloader:", "def evaluate("),
        "validation moves batch norm's running statistics",
        learns=True,
    ),
    Breakage(
        "TD404",
        "unet",
        (
            (
                "            optimizer.step()\n",
                "            if global_step % 4 == 0:\n                optimizer.step()\n",
            ),
        ),
        ("if global_step % 4 == 0:", "                optimizer.step()"),
        "three of four gradients are cleared before a step; it learns less far",
    ),
)

WEIGHTED_BACKWARD = (
    Breakage(
        "TD303",
        "weighted_backward",
        (("h = h + nn.functional.silu(self.mid(h))", "h += nn.functional.silu(self.mid(h))"),),
        ("h += nn.functional.silu(",),
        "RuntimeError at the first backward: modified by an inplace operation",
        status=1,
    ),
    Breakage(
        "TD208",
        "weighted_backward",
        (("        optimizer.zero_grad()\n", ""),),
        ("optimizer.step()", "losses.backward("),
        "the loss does not fall as it did",
    ),
    Breakage(
        "TD401",
        "weighted_backward",
        (("Adam(net.parameters()", "Adam(net.out.parameters()"),),
        ("optimizer = torch.optim.Adam(",),
        "only the last layer learns",
    ),
)

EDITS = (
    *LBFGS_WAVES,
    *LION_OPTIMIZER,
    *SGD_BY_HAND,
    *FUNCTIONAL_SGD,
    *SKIPGRAM,
    *GCN,
    *PINN_HEAT,
    *UNET,
    *WEIGHTED_BACKWARD,
)
