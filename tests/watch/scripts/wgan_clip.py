"""Wasserstein GAN with weight clipping on a one-dimensional mixture."""

import torch
from torch import nn

clip_value = 0.05
n_critic = 5
latent_dim = 4
batch_size = 128


def real_batch(n):
    centre = torch.where(torch.rand(n, 1) < 0.3, -1.0, 0.9)
    return centre + 0.15 * torch.randn(n, 1)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(latent_dim, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, z):
        return self.model(z)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(
            nn.Linear(1, 128),
            nn.LeakyReLU(0.2),
            nn.Linear(128, 128),
            nn.LeakyReLU(0.2),
            nn.Linear(128, 1),
        )

    def forward(self, x):
        return self.model(x)


def earth_mover(generator, n=2000):
    with torch.no_grad():
        fake = generator(torch.randn(n, latent_dim)).flatten().sort().values
    return (fake - real_batch(n).flatten().sort().values).abs().mean().item()


torch.manual_seed(0)
generator, critic = Generator(), Critic()
optimizer_G = torch.optim.RMSprop(generator.parameters(), lr=1e-3)
optimizer_D = torch.optim.RMSprop(critic.parameters(), lr=1e-3)

batches_done = 0
for i in range(1000):
    real = real_batch(batch_size)
    fake = generator(torch.randn(batch_size, latent_dim)).detach()
    loss_D = critic(fake).mean() - critic(real).mean()
    optimizer_D.zero_grad()
    loss_D.backward()
    optimizer_D.step()
    for p in critic.parameters():
        p.data.clamp_(-clip_value, clip_value)

    # train the generator every n_critic iterations
    if i % n_critic == 0:
        loss_G = -critic(generator(torch.randn(batch_size, latent_dim))).mean()
        optimizer_G.zero_grad()
        loss_G.backward()
        optimizer_G.step()
        if batches_done % 25 == 0:
            print(
                f"[Batch {i}/1000] D {loss_D.item():.4f} G {loss_G.item():.4f} "
                f"distance {earth_mover(generator):.4f}"
            )
        batches_done += 1
print(f"final distance {earth_mover(generator):.4f}")
