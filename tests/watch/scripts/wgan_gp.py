"""Wasserstein GAN with gradient penalty on a two-moon density."""

import math

import torch
from torch import autograd, nn

LAMBDA = 1.0
CRITIC_ITERS = 5
BATCH = 128
ITERATIONS = 140
LATENT = 4


def moons(n):
    half = torch.rand(n) < 0.5
    angle = math.pi * torch.rand(n)
    x = torch.where(half, angle.cos(), 1 - angle.cos())
    y = torch.where(half, angle.sin(), 0.5 - angle.sin())
    points = torch.stack([x - 0.5, y - 0.25], dim=1)
    return 1.2 * points + 0.05 * torch.randn(n, 2)


def mlp(inputs, outputs, hidden=128):
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.LeakyReLU(0.1),
        nn.Linear(hidden, hidden),
        nn.LeakyReLU(0.1),
        nn.Linear(hidden, outputs),
    )


def gradient_penalty(critic, real, fake):
    alpha = torch.rand(real.size(0), 1)
    between = (alpha * real + (1 - alpha) * fake).requires_grad_(True)
    scores = critic(between)
    (gradients,) = autograd.grad(
        outputs=scores,
        inputs=between,
        grad_outputs=torch.ones_like(scores),
        create_graph=True,
    )
    return LAMBDA * ((gradients.norm(2, dim=1) - 1) ** 2).mean()


def sliced_distance(a, b, directions=32):
    angle = math.pi * torch.arange(directions) / directions
    axes = torch.stack([angle.cos(), angle.sin()])
    return ((a @ axes).sort(dim=0).values - (b @ axes).sort(dim=0).values).abs().mean().item()


def main():
    torch.manual_seed(5)
    generator, critic = mlp(LATENT, 2), mlp(2, 1)
    g_optim = torch.optim.Adam(generator.parameters(), lr=3e-4, betas=(0.5, 0.9))
    c_optim = torch.optim.Adam(critic.parameters(), lr=1e-3, betas=(0.5, 0.9))

    for iteration in range(ITERATIONS):
        for p in critic.parameters():
            p.requires_grad_(True)
        for _ in range(CRITIC_ITERS):
            real = moons(BATCH)
            with torch.no_grad():
                fake = generator(torch.randn(BATCH, LATENT))
            c_optim.zero_grad()
            wasserstein = critic(real).mean() - critic(fake).mean()
            c_loss = -wasserstein + gradient_penalty(critic, real, fake)
            c_loss.backward()
            c_optim.step()

        # the critic only passes gradients on while the generator learns
        for p in critic.parameters():
            p.requires_grad_(False)
        g_optim.zero_grad()
        g_loss = -critic(generator(torch.randn(BATCH, LATENT))).mean()
        g_loss.backward()
        g_optim.step()

        if iteration % 20 == 0 or iteration == ITERATIONS - 1:
            with torch.no_grad():
                samples = generator(torch.randn(1000, LATENT))
                distance = sliced_distance(samples, moons(1000))
            print(
                f"iteration {iteration:4d} critic {c_loss.item():+.3f} "
                f"W {wasserstein.item():+.3f} distance {distance:.4f}"
            )


if __name__ == "__main__":
    main()
