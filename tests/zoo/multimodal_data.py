"""Pictures with words to learn: every function makes the samples of one kind of task."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.zoo.audio_data import mel
from tests.zoo.text_data import IGNORED, LENGTH, encoded, generator, masked, sentence, tags
from tests.zoo.tiny import BOS, EOS, FIRST_WORD, IMAGE_SIZE, IMAGE_TOKEN, PATCH_SIZE
from tests.zoo.transformers_zoo import NUM_SAMPLES, Sample
from tests.zoo.vision_data import NUM_LOOKS, stripes

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PretrainedConfig

GRID = IMAGE_SIZE // PATCH_SIZE
MERGED = 2
ANSWER_LENGTH = 8


def pairs(config: PretrainedConfig) -> list[Sample]:
    """Match pictures with what is said about them (contrastive)."""
    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        look = number % NUM_LOOKS
        text = encoded(sentence(rng, LENGTH - 6, topic=look))
        samples.append(text | {"pixel_values": stripes(rng, look), "return_loss": True})
    return samples


def sound_pairs(config: PretrainedConfig) -> list[Sample]:
    """Match sounds, as (1, frames, bins), with what is said about them (contrastive)."""
    import torch

    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        tone = number % NUM_LOOKS
        text = encoded(sentence(rng, LENGTH - 6, topic=tone))
        samples.append(
            text
            | {
                "input_features": mel(rng, [tone])[None],
                "is_longer": torch.zeros(1, dtype=torch.bool),
                "return_loss": True,
            }
        )
    return samples


def captions(config: PretrainedConfig) -> list[Sample]:
    """Say about a picture, seen through another door than the text, which way it runs."""
    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        look = number % NUM_LOOKS
        text = encoded(sentence(rng, LENGTH - 6, topic=look))
        labels = text["input_ids"].masked_fill(text["attention_mask"] == 0, IGNORED)
        samples.append(text | {"pixel_values": stripes(rng, look), "labels": labels})
    return samples


def readings(config: PretrainedConfig) -> list[Sample]:
    """Read a picture out with a decoder: the target's words alone are given."""
    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        look = number % NUM_LOOKS
        answer = sentence(rng, ANSWER_LENGTH, topic=look)
        samples.append({"pixel_values": stripes(rng, look), "labels": answer})
    return samples


def talk(num_image_tokens: int) -> Callable[[PretrainedConfig], list[Sample]]:
    """Continue a text that begins with a picture, which stands in it as so many tokens."""

    def illustrated(config: PretrainedConfig) -> list[Sample]:
        rng = generator()
        samples = []
        for number in range(NUM_SAMPLES):
            look = number % NUM_LOOKS
            sample = _dialogue(sentence(rng, ANSWER_LENGTH, topic=look), num_image_tokens)
            samples.append(sample | {"pixel_values": stripes(rng, look)})
        return samples

    return illustrated


def _dialogue(answer: Tensor, num_image_tokens: int) -> Sample:
    """Return ids, mask, labels and token types of a picture followed by an answer."""
    import torch

    picture = torch.full((num_image_tokens,), IMAGE_TOKEN)
    ids = torch.cat([torch.tensor([BOS]), picture, answer, torch.tensor([EOS])])
    of_answer = torch.arange(len(ids)) > num_image_tokens
    return {
        "input_ids": ids,
        "attention_mask": torch.ones_like(ids),
        "labels": ids.masked_fill(~of_answer, IGNORED),
        "token_type_ids": of_answer.long(),
    }


def gemma_talk(config: PretrainedConfig) -> list[Sample]:
    """The same with Gemma 3's types: 1 on the picture's tokens, 0 on text."""
    return [
        sample | {"token_type_ids": (sample["input_ids"] == IMAGE_TOKEN).long()}
        for sample in talk(config.mm_tokens_per_image)(config)
    ]


def many_pictures(num_image_tokens: int) -> Callable[[PretrainedConfig], list[Sample]]:
    """The same for models that take several pictures a text, here one: (1, 3, height, width)."""

    def illustrated(config: PretrainedConfig) -> list[Sample]:
        return [
            sample | {"pixel_values": sample["pixel_values"][None]}
            for sample in talk(num_image_tokens)(config)
        ]

    return illustrated


def patch_talk(config: PretrainedConfig) -> list[Sample]:
    """The same with the picture cut into flat patches and a grid (Qwen2-VL and its line)."""
    import torch

    samples = []
    for sample in talk((GRID // MERGED) ** 2)(config):
        side = (GRID // MERGED, MERGED, PATCH_SIZE)
        cut = sample.pop("pixel_values").reshape(3, *side, *side)
        patches = cut.permute(1, 4, 2, 5, 0, 3, 6).reshape(GRID**2, 3, 1, PATCH_SIZE**2)
        twice = patches.expand(-1, -1, config.vision_config.temporal_patch_size, -1)
        samples.append(
            sample
            | {
                "pixel_values": [twice.reshape(GRID**2, -1)],
                "image_grid_thw": [torch.tensor([[1, GRID, GRID]])],
                "mm_token_type_ids": (sample["input_ids"] == IMAGE_TOKEN).long(),
            }
        )
    return samples


def questions(config: PretrainedConfig) -> list[Sample]:
    """Answer a question about a picture with soft scores over all answers."""
    import torch

    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        look = number % NUM_LOOKS
        labels = torch.zeros(NUM_LOOKS)
        labels[look] = 1.0
        text = encoded(sentence(rng, LENGTH - 6))
        samples.append(text | {"pixel_values": stripes(rng, look), "labels": labels})
    return samples


def regions(config: PretrainedConfig) -> list[Sample]:
    """Masked words beside four described regions of a picture (VisualBERT)."""
    import torch

    rng = generator()
    samples = []
    for sample in masked(config):
        visual = torch.randn(4, config.visual_embedding_dim, generator=rng)
        labels = torch.nn.functional.pad(sample["labels"], (0, 4), value=IGNORED)
        samples.append(
            sample
            | {
                "visual_embeds": visual,
                "visual_attention_mask": torch.ones(4, dtype=torch.long),
                "visual_token_type_ids": torch.ones(4, dtype=torch.long),
                "labels": labels,
            }
        )
    return samples


def pages(config: PretrainedConfig) -> list[Sample]:
    """Tag the words of a page, each in its box of (left, top, right, bottom)."""
    import torch

    rng = generator()
    samples = []
    for sample in tags(config):
        corner = torch.randint(0, 80, (LENGTH, 2), generator=rng)
        bbox = torch.cat([corner, corner + 10], dim=1)
        samples.append(sample | {"bbox": bbox, "pixel_values": stripes(rng, 0)})
    return samples


def first_word(config: PretrainedConfig) -> list[Sample]:
    """Name a picture's look in one word after the picture (for models that make text of both)."""
    import torch

    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        look = number % NUM_LOOKS
        text = encoded(sentence(rng, LENGTH - 6))
        answer = torch.tensor([BOS, FIRST_WORD + look, EOS])
        samples.append(text | {"pixel_values": stripes(rng, look), "labels": answer})
    return samples
