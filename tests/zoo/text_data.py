"""Small languages to learn: every function makes the samples of one kind of text task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.zoo.tiny import BOS, EOS, FIRST_WORD, MASK, NUM_WORDS, PAD
from tests.zoo.transformers_zoo import NUM_SAMPLES, Sample

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from transformers import PretrainedConfig

LENGTH = 24
NUM_TOPICS = 3
NUM_TAGS = 5
NUM_CHOICES = 3
IGNORED = -100


def generator(seed: int = 0) -> Generator:
    """Return a random generator of one's own, so that data never depends on the model."""
    import torch

    return torch.Generator().manual_seed(seed)


def sentence(rng: Generator, length: int = LENGTH, topic: int | None = None) -> Tensor:
    """Return (length,) words, each following from the one before or freely drawn; a topic
    prefers its own third of the vocabulary."""
    import torch

    words = torch.randint(NUM_WORDS, (length,), generator=rng)
    follows = torch.rand(length, generator=rng) < 0.7
    for position in range(1, length):
        if follows[position]:
            words[position] = (5 * words[position - 1] + 7) % NUM_WORDS
    if topic is not None:
        share = NUM_WORDS // NUM_TOPICS
        own = torch.rand(length, generator=rng) < 0.5
        words = torch.where(own, topic * share + words % share, words)
    return FIRST_WORD + words


def padded(words: Tensor, length: int = LENGTH, value: int = PAD) -> Tensor:
    """Return (length,) words, filled up on the right."""
    from torch.nn.functional import pad

    return pad(words, (0, length - len(words)), value=value)


def encoded(words: Tensor) -> Sample:
    """Return a sentence between its marks, padded, with its attention mask, each (length,)."""
    from torch.nn.functional import pad

    words = pad(pad(words, (1, 0), value=BOS), (0, 1), value=EOS)
    ids = padded(words)
    return {"input_ids": ids, "attention_mask": (ids != PAD).long()}


def draw_length(rng: Generator) -> int:
    """Return a number of words that leaves room for the marks and, mostly, for padding."""
    import torch

    return int(torch.randint(LENGTH // 2, LENGTH - 1, (1,), generator=rng))


def language(config: PretrainedConfig) -> list[Sample]:
    """Next-token prediction; padding is ignored by the labels."""
    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        sample = encoded(sentence(rng, draw_length(rng)))
        labels = sample["input_ids"].masked_fill(sample["attention_mask"] == 0, IGNORED)
        samples.append(sample | {"labels": labels})
    return samples


def unpadded_language(config: PretrainedConfig) -> list[Sample]:
    """Next-token prediction over packed text, all of it full length."""
    rng = generator()
    texts = [sentence(rng) for _ in range(NUM_SAMPLES)]
    return [{"input_ids": text, "labels": text.clone()} for text in texts]


def next_words(config: PretrainedConfig) -> list[Sample]:
    """Next-token prediction for models that compare labels with logits in place, so that the
    labels come shifted."""
    import torch

    samples = []
    for sample in language(config):
        labels = torch.full_like(sample["labels"], IGNORED)
        labels[:-1] = sample["labels"][1:]
        samples.append(sample | {"labels": labels})
    return samples


def masked(config: PretrainedConfig) -> list[Sample]:
    """Fill in the fifth of the words that was masked; the labels ignore all others."""
    import torch

    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        sample = encoded(sentence(rng, draw_length(rng)))
        ids = sample["input_ids"]
        hidden = (torch.rand(LENGTH, generator=rng) < 0.2) & (ids >= FIRST_WORD)
        hidden[1] = True
        labels = ids.masked_fill(~hidden, IGNORED)
        samples.append(sample | {"input_ids": ids.masked_fill(hidden, MASK), "labels": labels})
    return samples


def topics(config: PretrainedConfig) -> list[Sample]:
    """Tell which of three topics a sentence is about."""
    import torch

    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        topic = number % NUM_TOPICS
        sample = encoded(sentence(rng, draw_length(rng), topic))
        samples.append(sample | {"labels": torch.tensor(topic)})
    return samples


def scores(config: PretrainedConfig) -> list[Sample]:
    """Tell the share of a sentence's words that stand in the vocabulary's first half."""
    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        words = sentence(rng, draw_length(rng), number % NUM_TOPICS)
        low = (words < FIRST_WORD + NUM_WORDS // 2).float().mean()
        samples.append(encoded(words) | {"labels": low})
    return samples


def many_topics(config: PretrainedConfig) -> list[Sample]:
    """Tell, for each topic, whether a sentence speaks of it; it may be of several."""
    import torch

    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        first, second = number % NUM_TOPICS, number // 2 % NUM_TOPICS
        half = (LENGTH - 2) // 2
        words = torch.cat([sentence(rng, half, first), sentence(rng, half, second)])
        labels = torch.zeros(NUM_TOPICS)
        labels[[first, second]] = 1.0
        samples.append(encoded(words) | {"labels": labels})
    return samples


def tags(config: PretrainedConfig) -> list[Sample]:
    """Tag each word by its form; marks and padding are ignored."""
    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        sample = encoded(sentence(rng, draw_length(rng)))
        ids = sample["input_ids"]
        labels = (ids % NUM_TAGS).masked_fill(ids < FIRST_WORD, IGNORED)
        samples.append(sample | {"labels": labels})
    return samples


def spans(config: PretrainedConfig) -> list[Sample]:
    """Find the passage between an opening and a closing word."""
    import torch

    opening, closing = FIRST_WORD, FIRST_WORD + 1
    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        words = sentence(rng, draw_length(rng)).clamp_min(closing + 1)
        start = int(torch.randint(0, 5, (1,), generator=rng))
        end = start + int(torch.randint(1, 5, (1,), generator=rng))
        words[start], words[end] = opening, closing
        answer = {
            "start_positions": torch.tensor(start + 1),
            "end_positions": torch.tensor(end + 1),
        }
        samples.append(encoded(words) | answer)
    return samples


def choices(config: PretrainedConfig) -> list[Sample]:
    """Choose the sentence of the topic in which the others are not."""
    import torch

    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        right = int(torch.randint(NUM_CHOICES, (1,), generator=rng))
        options = [
            encoded(sentence(rng, draw_length(rng), topic=0 if option == right else 1))
            for option in range(NUM_CHOICES)
        ]
        sample = {name: torch.stack([option[name] for option in options]) for name in options[0]}
        samples.append(sample | {"labels": torch.tensor(right)})
    return samples


def translation(config: PretrainedConfig) -> list[Sample]:
    """Say a sentence in a language in which every word is shifted by one."""
    from torch.nn.functional import pad

    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        words = sentence(rng, draw_length(rng))
        other = FIRST_WORD + (words - FIRST_WORD + 1) % NUM_WORDS
        labels = padded(pad(other, (0, 1), value=EOS), value=IGNORED)
        samples.append(encoded(words) | {"labels": labels})
    return samples


def replaced_words(config: PretrainedConfig) -> list[Sample]:
    """Tell, for each word, whether it was replaced by a random one (ELECTRA's task)."""
    import torch

    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        sample = encoded(sentence(rng, LENGTH - 2))
        ids = sample["input_ids"]
        replaced = (torch.rand(LENGTH, generator=rng) < 0.3) & (ids >= FIRST_WORD)
        random_words = FIRST_WORD + torch.randint(NUM_WORDS, (LENGTH,), generator=rng)
        ids = torch.where(replaced, random_words, ids)
        samples.append(sample | {"input_ids": ids, "labels": replaced.long()})
    return samples


def sentence_pairs(config: PretrainedConfig) -> list[Sample]:
    """Masked words and, at once, whether the second sentence stays on the first one's topic."""
    import torch

    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        other_topic = number % 2
        half = LENGTH // 2
        first = sentence(rng, half - 2, topic=0)
        second = sentence(rng, half, topic=other_topic)
        pair = encoded(torch.cat([first, second]))
        ids = pair["input_ids"]
        hidden = (torch.rand(LENGTH, generator=rng) < 0.2) & (ids >= FIRST_WORD)
        hidden[1] = True
        related = torch.tensor(other_topic)
        samples.append(
            pair
            | {
                "input_ids": ids.masked_fill(hidden, MASK),
                "token_type_ids": (torch.arange(LENGTH) >= half - 1).long(),
                "labels": ids.masked_fill(~hidden, IGNORED),
                "next_sentence_label": related,
                "sentence_order_label": related,
            }
        )
    return samples
