"""A GAN as a LightningModule with manual optimisation of two optimizers."""

import lightning.pytorch as pl
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset


def block(inputs, outputs, normalise):
    layers = [nn.Linear(inputs, outputs)]
    if normalise:
        layers.append(nn.BatchNorm1d(outputs))
    return [*layers, nn.LeakyReLU(0.2)]


class GAN(pl.LightningModule):
    def __init__(self, latent_dim=4, lr=1e-3):
        super().__init__()
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.generator = nn.Sequential(
            *block(latent_dim, 128, True), *block(128, 128, True), nn.Linear(128, 2)
        )
        self.discriminator = nn.Sequential(
            *block(2, 128, False), *block(128, 128, False), nn.Linear(128, 1)
        )

    def forward(self, z):
        return self.generator(z)

    def adversarial_loss(self, x, is_real):
        logits = self.discriminator(x)
        target = torch.ones_like(logits) if is_real else torch.zeros_like(logits)
        return F.binary_cross_entropy_with_logits(logits, target)

    def training_step(self, batch, batch_idx):
        (real,) = batch
        opt_g, opt_d = self.optimizers()
        z = torch.randn(real.size(0), self.hparams.latent_dim)

        self.toggle_optimizer(opt_d)
        fake = self(z).detach()
        d_loss = self.adversarial_loss(real, True) + self.adversarial_loss(fake, False)
        opt_d.zero_grad()
        self.manual_backward(d_loss)
        opt_d.step()
        self.untoggle_optimizer(opt_d)

        self.toggle_optimizer(opt_g)
        g_loss = self.adversarial_loss(self(z), True)
        opt_g.zero_grad()
        self.manual_backward(g_loss)
        opt_g.step()
        self.untoggle_optimizer(opt_g)
        self.log_dict({"g_loss": g_loss, "d_loss": d_loss}, prog_bar=True)

    def on_train_epoch_end(self):
        with torch.no_grad():
            samples = self(torch.randn(1000, self.hparams.latent_dim))
        off = (samples.norm(dim=1) - 1).abs().mean().item()
        print(f"epoch {self.current_epoch}: distance from the circle {off:.4f}")

    def configure_optimizers(self):
        opt_g = torch.optim.Adam(
            self.generator.parameters(), lr=self.hparams.lr, betas=(0.5, 0.999)
        )
        opt_d = torch.optim.Adam(
            self.discriminator.parameters(), lr=self.hparams.lr, betas=(0.5, 0.999)
        )
        return [opt_g, opt_d], []


if __name__ == "__main__":
    pl.seed_everything(1)
    angle = 6.2832 * torch.rand(2560)
    points = torch.stack([angle.cos(), angle.sin()], dim=1) + 0.03 * torch.randn(2560, 2)
    trainer = pl.Trainer(
        max_epochs=12,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(GAN(), DataLoader(TensorDataset(points), batch_size=128, shuffle=True))
