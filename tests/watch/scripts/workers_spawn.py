"""Count objects in pictures; worker processes are spawned and build their own generators."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, get_worker_info


class Blobs(Dataset):
    """Pictures with one to four bright discs."""

    def __init__(self, size):
        self.size = size
        grid = torch.arange(24.0)
        self.yy, self.xx = torch.meshgrid(grid, grid, indexing="ij")

    def __len__(self):
        return self.size

    def __getitem__(self, index):
        g = torch.Generator().manual_seed(index)
        count = int(torch.randint(1, 5, (1,), generator=g))
        picture = 0.2 * torch.randn(24, 24, generator=g)
        for _ in range(count):
            cy, cx = (3 + 18 * torch.rand(2, generator=g)).tolist()
            picture += ((self.yy - cy) ** 2 + (self.xx - cx) ** 2 < 5).float()
        return (picture - 0.12) / 0.4, count - 1


def seed_worker(worker_id):
    info = get_worker_info()
    torch.manual_seed(info.seed % 2**31)


class Counter(nn.Module):
    def __init__(self, channels=24):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, channels, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
        )
        self.classifier = nn.Linear(channels, 4)

    def forward(self, x):
        x = self.features(x.unsqueeze(1))
        return self.classifier(x.sum(dim=(2, 3)) / 32)


def run():
    torch.manual_seed(21)
    loader = DataLoader(
        Blobs(1280),
        batch_size=32,
        shuffle=True,
        num_workers=2,
        multiprocessing_context="spawn",
        persistent_workers=True,
        worker_init_fn=seed_worker,
    )
    net = Counter()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    for epoch in range(2):
        for i, (pictures, counts) in enumerate(loader):
            optimizer.zero_grad()
            loss = F.cross_entropy(net(pictures), counts)
            loss.backward()
            optimizer.step()
            if i % 10 == 9:
                print(
                    f"epoch {epoch} batch {i + 1}/{len(loader)} loss {loss.item():.4f}", flush=True
                )


if __name__ == "__main__":
    run()
