"""Programs that make things: autoencoders, a VAE, a VQ-VAE, a GAN, a diffusion model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from tests.zoo.plain.stable import batches, pictures, stable
from tests.zoo.specimen import Target
from torch import Tensor, nn
from torch.utils.data import DataLoader

NUM_PIXELS = 64


def dots() -> Tensor:
    """Return (samples, pixels) of small pictures in [0, 1]."""
    images, _ = pictures(num_samples=96, size=8, noise=0.1)
    return (4.0 * images.flatten(1)).sigmoid()


def trained(model: nn.Module, loss_fn: object, lr: float = 2e-3) -> Target:
    return {
        "model": model,
        "loader": DataLoader(dots(), batch_size=12, shuffle=True),
        "optimizer": torch.optim.Adam(model.parameters(), lr=lr),
        "loss_fn": loss_fn,
    }


def encoder(num_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(NUM_PIXELS, 48), nn.ReLU(), nn.Linear(48, num_out))


def decoder(num_in: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(num_in, 48), nn.ReLU(), nn.Linear(48, NUM_PIXELS))


def autoencoder() -> Target:
    """Pictures alone as batches; the target is the batch itself."""

    def loss_fn(outputs: Tensor, batch: Tensor) -> Tensor:
        return F.mse_loss(outputs, batch)

    return trained(nn.Sequential(encoder(8), decoder(8), nn.Sigmoid()), loss_fn)


class VAE(nn.Module):
    """Returns logits of the pixels with mean and log-variance of the code it drew."""

    def __init__(self, size: int = 4) -> None:
        super().__init__()
        self.encoder = encoder(2 * size)
        self.decoder = decoder(size)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_variance = self.encoder(x).chunk(2, dim=-1)
        code = mean + torch.randn_like(mean) * (0.5 * log_variance).exp()
        return self.decoder(code), mean, log_variance


def vae() -> Target:
    def loss_fn(outputs: tuple[Tensor, Tensor, Tensor], batch: Tensor) -> Tensor:
        logits, mean, log_variance = outputs
        seen = F.binary_cross_entropy_with_logits(logits, batch, reduction="none").sum(1)
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
        return (seen + divergence).mean()

    return trained(VAE(), loss_fn)


class VQVAE(nn.Module):
    """Replaces each code by the nearest of a codebook; the gradient goes straight through."""

    def __init__(self, num_codes: int = 16, size: int = 8) -> None:
        super().__init__()
        self.encoder = encoder(4 * size)
        self.codebook = nn.Embedding(num_codes, size)
        self.decoder = decoder(4 * size)
        nn.init.normal_(self.codebook.weight, std=0.3)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        code = self.encoder(x).unflatten(-1, (4, -1))
        nearest = torch.cdist(code, self.codebook.weight[None]).argmin(-1)
        chosen = self.codebook(nearest)
        passed = code + (chosen - code).detach()
        seen = self.decoder(passed.flatten(1))
        moved = F.mse_loss(chosen, code.detach())
        committed = F.mse_loss(code, chosen.detach())
        return {"loss": F.mse_loss(seen, x) + moved + 0.25 * committed}


def vq_vae() -> Target:
    target = trained(VQVAE(), None)
    del target["loss_fn"]
    return target


class GAN(nn.Module):
    """A generator and the discriminator that judges it."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(decoder(8), nn.Sigmoid())
        self.discriminator = nn.Sequential(
            nn.Linear(NUM_PIXELS, 48), nn.LeakyReLU(0.2), nn.Linear(48, 1)
        )

    def forward(self, noise: Tensor) -> Tensor:  # (batch, 8) -> (batch, pixels)
        return self.generator(noise)


def gan() -> Target:
    """Two optimizers, stepped in turn by the program's own step."""
    model = GAN()
    optimizers = [
        torch.optim.Adam(model.generator.parameters(), lr=2e-4, betas=(0.5, 0.999)),
        torch.optim.Adam(model.discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999)),
    ]

    def train_step(model: GAN, batch: Tensor, optimizer: list[torch.optim.Optimizer]) -> Tensor:
        of_generator, of_discriminator = optimizer
        fake = model(torch.randn(len(batch), 8))
        true, false = torch.ones(len(batch), 1), torch.zeros(len(batch), 1)

        of_discriminator.zero_grad()
        judged_real = model.discriminator(batch)
        judged_fake = model.discriminator(fake.detach())
        told_apart = F.binary_cross_entropy_with_logits(judged_real, true)
        told_apart = told_apart + F.binary_cross_entropy_with_logits(judged_fake, false)
        told_apart.backward()
        of_discriminator.step()

        of_generator.zero_grad()
        fooled = F.binary_cross_entropy_with_logits(model.discriminator(fake), true)
        fooled.backward()
        of_generator.step()
        return fooled

    loader = DataLoader(dots(), batch_size=12, shuffle=True, drop_last=True)
    return {"model": model, "loader": loader, "optimizer": optimizers, "train_step": train_step}


class Denoiser(nn.Module):
    """Predicts the noise that was mixed into a picture at a random time."""

    def __init__(self, num_times: int = 50) -> None:
        super().__init__()
        self.time = nn.Embedding(num_times, 32)
        self.net = nn.Sequential(
            nn.Linear(NUM_PIXELS + 32, 96), nn.SiLU(), nn.Linear(96, NUM_PIXELS)
        )
        kept = torch.cumprod(1.0 - torch.linspace(1e-3, 0.1, num_times), dim=0)
        self.register_buffer("kept", kept)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        time = torch.randint(len(self.kept), (len(x),), device=x.device)
        noise = torch.randn_like(x)
        kept = self.kept[time][:, None]
        mixed = kept.sqrt() * (2.0 * x - 1.0) + (1.0 - kept).sqrt() * noise
        predicted = self.net(torch.cat([mixed, self.time(time)], dim=1))
        return {"loss": F.mse_loss(predicted, noise)}


def diffusion() -> Target:
    target = trained(Denoiser(), None)
    del target["loss_fn"]
    return target


def denoising_autoencoder() -> Target:
    """Noisy pictures as inputs, clean ones as targets."""
    clean = dots()
    noisy = clean + 0.1 * torch.randn_like(clean)
    model = nn.Sequential(encoder(16), decoder(16))
    return {
        "model": model,
        "loader": batches(noisy, clean, size=12),
        "optimizer": torch.optim.Adam(model.parameters(), lr=2e-3),
        "loss_fn": F.mse_loss,
    }


SPECIMENS = stable(
    "generative",
    autoencoder,
    denoising_autoencoder,
    vae,
    vq_vae,
    gan,
    diffusion,
    quick=(vae, gan, vq_vae),
)
