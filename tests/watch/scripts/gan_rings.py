"""A GAN that learns eight blobs on a ring: two networks, two optimizers."""

import argparse
import math

import torch
import torch.nn as nn
import torch.optim as optim

parser = argparse.ArgumentParser()
parser.add_argument("--iterations", type=int, default=500)
parser.add_argument("--batch-size", type=int, default=128)
parser.add_argument("--nz", type=int, default=8, help="size of the latent vector")
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--beta1", type=float, default=0.5)
opt = parser.parse_args()
print(opt)

torch.manual_seed(2)


def sample_real(n):
    centre = torch.randint(0, 8, (n,)) * (2 * math.pi / 8)
    return torch.stack([centre.cos(), centre.sin()], dim=1) * 1.4 + 0.08 * torch.randn(n, 2)


class Generator(nn.Module):
    def __init__(self, nz, width=128):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(nz, width),
            nn.BatchNorm1d(width),
            nn.ReLU(True),
            nn.Linear(width, width),
            nn.BatchNorm1d(width),
            nn.ReLU(True),
            nn.Linear(width, 2),
        )

    def forward(self, z):
        return self.main(z)


class Discriminator(nn.Module):
    def __init__(self, width=128):
        super().__init__()
        self.main = nn.Sequential(
            nn.Linear(2, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, width),
            nn.LeakyReLU(0.2),
            nn.Linear(width, 1),
        )

    def forward(self, x):
        return self.main(x).view(-1)


def ring_error(samples):
    """Mean distance between a sample and the nearest of the eight centres."""
    angles = torch.arange(8) * (2 * math.pi / 8)
    centres = 1.4 * torch.stack([angles.cos(), angles.sin()], dim=1)
    return torch.cdist(samples, centres).min(dim=1).values.mean().item()


netG = Generator(opt.nz)
netD = Discriminator()
criterion = nn.BCEWithLogitsLoss()
optimizerD = optim.Adam(netD.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=opt.lr, betas=(opt.beta1, 0.999))
fixed_noise = torch.randn(512, opt.nz)

for i in range(opt.iterations):
    # (1) discriminator: real samples are ones, generated samples are zeros
    netD.zero_grad()
    output = netD(sample_real(opt.batch_size))
    errD_real = criterion(output, torch.ones_like(output))
    errD_real.backward()
    D_x = output.sigmoid().mean().item()

    noise = torch.randn(opt.batch_size, opt.nz)
    fake = netG(noise)
    output = netD(fake.detach())
    errD_fake = criterion(output, torch.zeros_like(output))
    errD_fake.backward()
    optimizerD.step()

    # (2) generator: make the discriminator say one
    netG.zero_grad()
    output = netD(fake)
    errG = criterion(output, torch.ones_like(output))
    errG.backward()
    optimizerG.step()

    if i % 50 == 0 or i == opt.iterations - 1:
        netG.eval()
        with torch.no_grad():
            error = ring_error(netG(fixed_noise))
        netG.train()
        errD = errD_real + errD_fake
        print(
            f"[{i}/{opt.iterations}] Loss_D: {errD.item():.4f} Loss_G: {errG.item():.4f} "
            f"D(x): {D_x:.4f} ring error: {error:.4f}"
        )
