"""Segment discs in noisy pictures with a small U-Net and a Dice plus cross-entropy loss."""

import logging

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import optim
from torch.utils.data import DataLoader, Dataset, random_split


class DoubleConv(nn.Module):
    def __init__(self, in_channels, out_channels):
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
            nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(inplace=True),
        )

    def forward(self, x):
        return self.double_conv(x)


class UNet(nn.Module):
    def __init__(self, n_channels=1, n_classes=1, width=8):
        super().__init__()
        self.inc = DoubleConv(n_channels, width)
        self.down1 = DoubleConv(width, 2 * width)
        self.down2 = DoubleConv(2 * width, 4 * width)
        self.up1 = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.conv1 = DoubleConv(4 * width, 2 * width)
        self.up2 = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.conv2 = DoubleConv(2 * width, width)
        self.outc = nn.Conv2d(width, n_classes, 1)

    def forward(self, x):
        x1 = self.inc(x)
        x2 = self.down1(F.max_pool2d(x1, 2))
        x3 = self.down2(F.max_pool2d(x2, 2))
        x = self.conv1(torch.cat([x2, self.up1(x3)], dim=1))
        x = self.conv2(torch.cat([x1, self.up2(x)], dim=1))
        return self.outc(x)


class DiscDataset(Dataset):
    def __init__(self, size=288, side=32):
        g = torch.Generator().manual_seed(0)
        grid = torch.arange(float(side))
        yy, xx = torch.meshgrid(grid, grid, indexing="ij")
        self.masks = torch.zeros(size, side, side)
        for mask in self.masks:
            for _ in range(2):
                cy, cx, r = (torch.rand(3, generator=g) * torch.tensor([24, 24, 5]) + 4).tolist()
                mask[(yy - cy) ** 2 + (xx - cx) ** 2 < r**2] = 1.0
        self.images = self.masks * 1.2 - 0.4 + 0.8 * torch.randn(self.masks.shape, generator=g)

    def __len__(self):
        return len(self.images)

    def __getitem__(self, idx):
        return {"image": self.images[idx][None], "mask": self.masks[idx]}


def dice_coeff(pred, target, epsilon=1e-6):
    inter = 2 * (pred * target).sum(dim=(1, 2))
    sets = pred.sum(dim=(1, 2)) + target.sum(dim=(1, 2))
    return ((inter + epsilon) / (sets + epsilon)).mean()


@torch.inference_mode()
def evaluate(net, dataloader):
    net.eval()
    score = 0.0
    for batch in dataloader:
        pred = (torch.sigmoid(net(batch["image"])) > 0.5).float()
        score += dice_coeff(pred[:, 0], batch["mask"]).item()
    net.train()
    return score / len(dataloader)


def train_model(model, epochs=5, batch_size=16, learning_rate=3e-3, val_percent=0.1):
    dataset = DiscDataset()
    n_val = int(len(dataset) * val_percent)
    train_set, val_set = random_split(
        dataset, [len(dataset) - n_val, n_val], generator=torch.Generator().manual_seed(0)
    )
    train_loader = DataLoader(train_set, shuffle=True, batch_size=batch_size)
    val_loader = DataLoader(val_set, shuffle=False, drop_last=True, batch_size=batch_size)
    optimizer = optim.RMSprop(model.parameters(), lr=learning_rate, weight_decay=1e-8, momentum=0.5)
    scheduler = optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", patience=5)
    criterion = nn.BCEWithLogitsLoss()
    global_step = 0
    for epoch in range(1, epochs + 1):
        model.train()
        epoch_loss = 0.0
        for batch in train_loader:
            images, true_masks = batch["image"], batch["mask"]
            masks_pred = model(images).squeeze(1)
            loss = criterion(masks_pred, true_masks)
            loss = loss + 1 - dice_coeff(torch.sigmoid(masks_pred), true_masks)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            global_step += 1
            epoch_loss += loss.item()
        val_score = evaluate(model, val_loader)
        scheduler.step(val_score)
        logging.info(
            "Epoch %d loss %.4f Dice %.4f", epoch, epoch_loss / len(train_loader), val_score
        )


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s: %(message)s")
    torch.manual_seed(0)
    train_model(UNet())
