"""Small pictures to learn: stripes and squares with noise, one function per vision task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.zoo.text_data import generator
from tests.zoo.tiny import IMAGE_SIZE, NUM_PATCHES
from tests.zoo.transformers_zoo import NUM_SAMPLES, Sample

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from transformers import PretrainedConfig

NUM_LOOKS = 3
NUM_FRAMES = 4
UNLABELLED = 255


def stripes(rng: Generator, look: int, channels: int = 3, size: int = IMAGE_SIZE) -> Tensor:
    """Return (channels, size, size), of mean 0 and deviation about 1: upright, level or
    slanted stripes of a random phase, seen through noise."""
    import torch

    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    across = (x, y, x + y)[look].float()
    phase = 6.28 * torch.rand(1, generator=rng)
    picture = torch.sin(across * 0.8 + phase).expand(channels, size, size)
    return picture + 0.5 * torch.randn(channels, size, size, generator=rng)


def square(rng: Generator, size: int = IMAGE_SIZE) -> tuple[Tensor, tuple[int, int, int]]:
    """Return (3, size, size) noise with one bright square in it, and its left, top and side."""
    import torch

    picture = 0.3 * torch.randn(3, size, size, generator=rng) - 0.5
    side = int(torch.randint(size // 4, size // 2, (1,), generator=rng))
    left, top = torch.randint(size - side, (2,), generator=rng).tolist()
    picture[:, top : top + side, left : left + side] += 2.0
    return picture, (left, top, side)


def looks(config: Any) -> list[Sample]:
    """Tell which way the stripes run."""
    import torch

    rng = generator()
    size = getattr(config, "image_size", None) or IMAGE_SIZE
    channels = getattr(config, "num_channels", 3)
    side = size if isinstance(size, int) else size[0]
    return [
        {
            "pixel_values": stripes(rng, number % NUM_LOOKS, channels, side),
            "labels": torch.tensor(number % NUM_LOOKS),
        }
        for number in range(NUM_SAMPLES)
    ]


def clips(config: PretrainedConfig) -> list[Sample]:
    """Tell which way the stripes run in (frames, channels, height, width)."""
    import torch

    rng = generator()
    return [
        {
            "pixel_values": torch.stack(
                [stripes(rng, number % NUM_LOOKS) for _ in range(NUM_FRAMES)]
            ),
            "labels": torch.tensor(number % NUM_LOOKS),
        }
        for number in range(NUM_SAMPLES)
    ]


def maps(config: PretrainedConfig) -> list[Sample]:
    """Tell, for every pixel, whether it is in the square; some pixels are unlabelled."""
    import torch

    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        picture, (left, top, side) = square(rng)
        labels = torch.zeros(IMAGE_SIZE, IMAGE_SIZE, dtype=torch.long)
        labels[top : top + side, left : left + side] = 1
        labels[torch.rand(IMAGE_SIZE, IMAGE_SIZE, generator=rng) < 0.05] = UNLABELLED
        samples.append({"pixel_values": picture, "labels": labels})
    return samples


def depths(config: PretrainedConfig) -> list[Sample]:
    """Tell the distance of every pixel: the square is near, the rest far."""
    import torch

    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        picture, (left, top, side) = square(rng)
        labels = torch.full((IMAGE_SIZE, IMAGE_SIZE), 8.0)
        labels[top : top + side, left : left + side] = 2.0
        samples.append({"pixel_values": picture, "labels": labels})
    return samples


def hidden_patches(config: PretrainedConfig) -> list[Sample]:
    """Paint the half of the patches that was hidden."""
    import torch

    rng = generator()
    return [
        {
            "pixel_values": stripes(rng, number % NUM_LOOKS),
            "bool_masked_pos": torch.rand(NUM_PATCHES, generator=rng) < 0.5,
        }
        for number in range(NUM_SAMPLES)
    ]


def hidden_tubes(config: PretrainedConfig) -> list[Sample]:
    """Paint the patches that were hidden in every frame of a clip."""
    import torch

    samples = []
    rng = generator()
    tubes = NUM_FRAMES // 2
    for clip in clips(config):
        hidden = torch.randperm(NUM_PATCHES, generator=rng) < NUM_PATCHES // 2
        samples.append(
            {"pixel_values": clip["pixel_values"], "bool_masked_pos": hidden.repeat(tubes)}
        )
    return samples


def pictures(config: PretrainedConfig) -> list[Sample]:
    """Pictures alone, for models that hide parts of them by themselves."""
    return [{"pixel_values": sample["pixel_values"]} for sample in looks(config)]


def boxes(config: PretrainedConfig) -> list[Sample]:
    """Find the square: its class and its box as centre, width and height, all in [0, 1]."""
    import torch

    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        picture, (left, top, side) = square(rng)
        box = torch.tensor([[left + side / 2, top + side / 2, side, side]]) / IMAGE_SIZE
        answer = {"class_labels": torch.tensor([1]), "boxes": box}
        samples.append({"pixel_values": picture, "labels": answer})
    return samples
