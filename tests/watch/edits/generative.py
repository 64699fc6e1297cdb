"""Faults in adversarial, variational and other generative scripts."""

from __future__ import annotations

from tests.watch.build import Breakage

GAN_RINGS = (
    Breakage(
        "TD301",
        "gan_rings",
        (("output = netD(fake.detach())", "output = netD(fake)  # fake samples"),),
        ("fake = netG(noise)", "output = netD(fake)  # fake samples", "errG.backward()"),
        "RuntimeError at the first generator step: backward through the graph a second time",
        status=1,
    ),
    Breakage(
        "TD208",
        "gan_rings",
        (("    netG.zero_grad()\n", ""),),
        ("optimizerG.step()", "errG.backward()"),
        "the generator follows the sum of all its gradients; the samples look well",
        learns=True,
    ),
    Breakage(
        "TD402",
        "gan_rings",
        (("optim.Adam(netG.parameters()", "optim.Adam(Generator(opt.nz).parameters()"),),
        ("optimizerG = optim.Adam(",),
        "the generator keeps its initial values",
    ),
)

WGAN_GP = (
    Breakage(
        "TD216",
        "wgan_gp",
        (
            (
                "        for p in critic.parameters():\n            p.requires_grad_(True)\n",
                "",
            ),
        ),
        ("p.requires_grad_(False)",),
        "the critic is frozen after the first generator step and never thawed",
        also=("TD212", "TD201"),
    ),
    Breakage(
        "TD403",
        "wgan_gp",
        (("        g_optim.step()\n", ""),),
        ("g_loss.backward()", "g_optim = torch.optim.Adam("),
        "the generator keeps its initial values",
    ),
    Breakage(
        "TD208",
        "wgan_gp",
        (("            c_optim.zero_grad()\n", ""),),
        ("c_optim.step()", "c_loss.backward()"),
        "the critic follows the sum of all its gradients; the samples look well",
        learns=True,
    ),
)

WGAN_CLIP = (
    Breakage(
        "TD301",
        "wgan_clip",
        (
            (
                "    fake = generator(torch.randn(batch_size, latent_dim)).detach()\n",
                "",
            ),
            (
                "batches_done = 0\n",
                "batches_done = 0\nfake = generator(torch.randn(batch_size, latent_dim))\n",
            ),
        ),
        ("fake = generator(torch.randn(batch_size, latent_dim))", "loss_D.backward()"),
        "RuntimeError at the second batch: backward through the graph a second time",
        status=1,
    ),
    Breakage(
        "TD402",
        "wgan_clip",
        (("batches_done = 0\n", "batches_done = 0\ngenerator = Generator()\n"),),
        ("generator = Generator()\n".strip(), "optimizer_G = torch.optim.RMSprop("),
        "the generator keeps its initial values",
    ),
    Breakage(
        "TD505",
        "wgan_clip",
        (("0.15 * torch.randn(n, 1)", "0.15 * torch.randn(n, 1).log()"),),
        (),
        "everything is nan from the first batch on",
        also=("TD102",),
    ),
)

VAE = (
    Breakage(
        "TD303",
        "vae",
        (
            (
                "        std = torch.exp(0.5 * logvar)\n",
                "        std = torch.exp(0.5 * logvar)\n        std += 1e-6\n",
            ),
        ),
        ("std += 1e-6",),
        "RuntimeError at the first backward: modified by an inplace operation",
        status=1,
    ),
    Breakage(
        "TD403",
        "vae",
        (("        optimizer.step()\n", ""),),
        ("loss.backward()", "optimizer = optim.Adam("),
        "the loss stays where it is",
    ),
    Breakage(
        "TD102",
        "vae",
        (
            (
                'F.binary_cross_entropy(recon_x, x.view(-1, 144), reduction="sum")',
                "-torch.sum(recon_x * torch.log(x.view(-1, 144)))",
            ),
        ),
        ("BCE = -torch.sum(",),
        "the loss is inf from the first batch on",
    ),
    Breakage(
        "TD503",
        "vae",
        (
            (
                "enumerate(train_loader):",
                "enumerate([next(iter(train_loader))] * len(train_loader)):",
            ),
        ),
        ("enumerate([next(iter(train_loader))] * len(train_loader)):",),
        "the loss falls, and that of the test set less far",
        learns=True,
    ),
)

DIFFUSION = (
    Breakage(
        "TD201",
        "diffusion",
        (("        h = h + self.time(F.silu(temb))[:, :, None]\n", ""),),
        ("self.time = nn.Linear(time_dim, channels)", "self.time_mlp = nn.Sequential("),
        "the noise level is not told to the network; it learns less well",
        learns=True,
    ),
    Breakage(
        "TD709",
        "diffusion",
        (
            (
                "nn.ModuleList([ResBlock(channels, time_dim) for _ in range(3)])",
                "[ResBlock(channels, time_dim) for _ in range(3)]",
            ),
        ),
        ("self.blocks = [",),
        "the blocks keep their initial values; what is around them learns a little",
    ),
    Breakage(
        "TD415",
        "diffusion",
        (("ema[name].lerp_(p, 0.02)", "p.lerp_(ema[name], 0.98)"),),
        ("p.lerp_(ema[name], 0.98)",),
        "the weights are pulled back to their initial values after each step",
    ),
    Breakage(
        "TD210",
        "diffusion",
        (
            (
                "clip_grad_norm_(model.parameters(), 1.0)",
                "clip_grad_norm_(model.parameters(), 1e-3)",
            ),
        ),
        ("clip_grad_norm_(model.parameters(), 1e-3)",),
        "nothing to see: Adam makes up for it",
        learns=True,
    ),
)

FLOW_DENSITY = (
    Breakage(
        "TD102",
        "flow_density",
        (("-flow.log_prob(banana(256)).mean()", "-flow.log_prob(banana(256)).log().mean()"),),
        ("loss = -flow.log_prob(banana(256)).log().mean()",),
        "nll is nan from the first step on: the logarithm is taken twice",
    ),
    Breakage(
        "TD403",
        "flow_density",
        (("        optimizer.step()\n", ""),),
        ("loss.backward()", "optimizer = torch.optim.Adam("),
        "nll stays where it is",
    ),
    Breakage(
        "TD401",
        "flow_density",
        (("Adam(flow.parameters()", "Adam(flow.layers[0].parameters()"),),
        ("optimizer = torch.optim.Adam(",),
        "one layer of six learns",
    ),
    Breakage(
        "TD106",
        "flow_density",
        (
            (
                "loss = -flow.log_prob(banana(256)).mean()",
                "loss = flow.log_prob(banana(256)).mean()",
            ),
        ),
        ("loss.backward()",),
        "nll falls without end, from minus seventy million on",
        learns=True,
    ),
)

EDITS = (*GAN_RINGS, *WGAN_GP, *WGAN_CLIP, *VAE, *DIFFUSION, *FLOW_DENSITY)
