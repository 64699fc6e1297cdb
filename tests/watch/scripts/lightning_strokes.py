"""A LightningModule with validation, a scheduler and a checkpoint callback."""

import lightning as L
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class StrokeData(L.LightningDataModule):
    def __init__(self, batch_size=64):
        super().__init__()
        self.batch_size = batch_size

    def make(self, size, seed):
        g = torch.Generator().manual_seed(seed)
        label = torch.randint(0, 5, (size,), generator=g)
        t = torch.linspace(0, 1, 40)
        freq = 1.0 + label.float()[:, None]
        phase = 6.28 * torch.rand(size, 1, generator=g)
        wave = torch.sin(6.28 * freq * t + phase) * 1.4
        return TensorDataset(wave + 0.3 * torch.randn(size, 40, generator=g), label)

    def setup(self, stage):
        self.train_set = self.make(1024, seed=0)
        self.valid_set = self.make(256, seed=1)

    def train_dataloader(self):
        return DataLoader(self.train_set, batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self):
        return DataLoader(self.valid_set, batch_size=128)


class StrokeClassifier(L.LightningModule):
    def __init__(self, hidden=128, lr=2e-3):
        super().__init__()
        self.save_hyperparameters()
        self.encoder = nn.Sequential(nn.Linear(40, hidden), nn.ReLU(), nn.Dropout(0.1))
        self.body = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU())
        self.head = nn.Linear(hidden, 5)
        self.seen = []

    def forward(self, x):
        return self.head(self.body(self.encoder(x)))

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        logits = self(x)
        self.log("val_loss", F.cross_entropy(logits, y), prog_bar=True)
        self.log("val_acc", (logits.argmax(1) == y).float().mean())

    def on_validation_epoch_end(self):
        if not self.trainer.sanity_checking:
            val_loss = self.trainer.callback_metrics["val_loss"]
            print(f"epoch {self.current_epoch} val_loss {val_loss:.4f}")

    def configure_optimizers(self):
        optimizer = torch.optim.AdamW(self.parameters(), lr=self.hparams.lr)
        scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
        return {"optimizer": optimizer, "lr_scheduler": scheduler}


def main():
    L.seed_everything(11)
    model = StrokeClassifier()
    trainer = L.Trainer(
        max_epochs=6,
        accelerator="cpu",
        devices=1,
        gradient_clip_val=1.0,
        logger=False,
        log_every_n_steps=4,
        enable_model_summary=False,
        callbacks=[ModelCheckpoint(dirpath="lightning_ckpt", monitor="val_loss")],
    )
    trainer.fit(model, datamodule=StrokeData())


if __name__ == "__main__":
    main()
