"""Small sounds and series to learn: tones in noise, one function per task."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.zoo.text_data import IGNORED, generator, sentence
from tests.zoo.tiny import AUDIO_TOKEN, EOS, FIRST_WORD
from tests.zoo.transformers_zoo import NUM_SAMPLES, Sample

if TYPE_CHECKING:
    from torch import Generator, Tensor
    from transformers import PretrainedConfig

NUM_POINTS = 1920
NUM_MELS = 16
NUM_FRAMES = 64
NUM_TONES = 3
SONG_LENGTH = 4


def song(rng: Generator, tones: list[int], num_points: int = NUM_POINTS) -> Tensor:
    """Return (num_points,) of tones sounding one after another, seen through noise."""
    import torch

    time = torch.arange(num_points // len(tones)).float()
    pieces = [torch.sin(time * (0.1 + 0.2 * tone)) for tone in tones]
    wave = torch.cat(pieces)
    wave = torch.nn.functional.pad(wave, (0, num_points - len(wave)))
    return wave + 0.2 * torch.randn(num_points, generator=rng)


def mel(
    rng: Generator, tones: list[int], num_frames: int = NUM_FRAMES, bins: int = NUM_MELS
) -> Tensor:
    """Return (num_frames, bins), each tone bright in its own bin for its share of the time."""
    import torch

    picture = 0.3 * torch.randn(num_frames, bins, generator=rng)
    share = num_frames // len(tones)
    for number, tone in enumerate(tones):
        picture[number * share : (number + 1) * share, 2 + 2 * tone] += 2.0
    return picture


def draw_tones(rng: Generator) -> list[int]:
    """Return the tones of a song, between two and four of them."""
    import torch

    count = int(torch.randint(2, SONG_LENGTH + 1, (1,), generator=rng))
    return [int(tone) for tone in torch.randint(NUM_TONES, (count,), generator=rng)]


def spelled(tones: list[int], length: int = SONG_LENGTH + 1, end: bool = True) -> Tensor:
    """Return (length,) the song's tones as words, the rest ignored."""
    import torch

    words = [FIRST_WORD + tone for tone in tones] + [EOS] * end
    return torch.tensor(words + [IGNORED] * (length - len(words)))


def spoken_topics(config: PretrainedConfig) -> list[Sample]:
    """Tell which tone sounds."""
    import torch

    rng = generator()
    return [
        {
            "input_values": song(rng, [number % NUM_TONES]),
            "labels": torch.tensor(number % NUM_TONES),
        }
        for number in range(NUM_SAMPLES)
    ]


def spelled_songs(config: PretrainedConfig) -> list[Sample]:
    """Write down a song without being told when each tone begins (CTC)."""
    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        tones = draw_tones(rng)
        labels = spelled(tones, SONG_LENGTH, end=False)
        samples.append({"input_values": song(rng, tones), "labels": labels})
    return samples


def transcripts(config: PretrainedConfig) -> list[Sample]:
    """Write down a song from its waveform with a decoder."""
    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        tones = draw_tones(rng)
        samples.append({"input_values": song(rng, tones), "labels": spelled(tones)})
    return samples


def mel_topics(config: PretrainedConfig) -> list[Sample]:
    """Tell which tone sounds from (frames, bins), under either of its two names."""
    import torch

    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        picture = mel(rng, [number % NUM_TONES])
        label = torch.tensor(number % NUM_TONES)
        samples.append({"input_features": picture, "input_values": picture, "labels": label})
    return samples


def mel_spellings(config: PretrainedConfig) -> list[Sample]:
    """Write down a song from (frames, bins) without timing (CTC)."""
    import torch

    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        tones = draw_tones(rng)
        labels = spelled(tones, SONG_LENGTH, end=False)
        mask = torch.ones(NUM_FRAMES, dtype=torch.long)
        samples.append(
            {"input_features": mel(rng, tones), "attention_mask": mask, "labels": labels}
        )
    return samples


def mel_transcripts(config: PretrainedConfig) -> list[Sample]:
    """Write down a song from (frames, bins) with a decoder."""
    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        tones = draw_tones(rng)
        samples.append({"input_features": mel(rng, tones), "labels": spelled(tones)})
    return samples


def upright(samples: list[Sample]) -> list[Sample]:
    """Turn (frames, bins) into the (bins, frames) that Whisper reads."""
    return [
        sample | {"input_features": sample["input_features"].T.contiguous()} for sample in samples
    ]


def upright_mel_topics(config: PretrainedConfig) -> list[Sample]:
    """Tell which tone sounds from (bins, frames)."""
    return upright(mel_topics(config))


def upright_mel_transcripts(config: PretrainedConfig) -> list[Sample]:
    """Write down a song from (bins, frames) with a decoder."""
    return upright(mel_transcripts(config))


def speech(config: PretrainedConfig) -> list[Sample]:
    """Read words aloud as (frames, bins): each word is bright in its own bins."""
    import torch

    samples = []
    rng = generator()
    for _ in range(NUM_SAMPLES):
        words = sentence(rng, 8)
        bins = (words % NUM_MELS).repeat_interleave(2)
        picture = -1.0 + 2.0 * torch.nn.functional.one_hot(bins, NUM_MELS).float()
        picture = picture + 0.1 * torch.randn(picture.shape, generator=rng)
        mask = torch.ones_like(words)
        samples.append({"input_ids": words, "attention_mask": mask, "labels": picture})
    return samples


def frames(config: PretrainedConfig) -> list[Sample]:
    """Tell, frame by frame, which tone sounds, as (frames, tones) of zeros and ones."""
    import torch

    samples = []
    rng = generator()
    for number in range(NUM_SAMPLES):
        first, second = number % NUM_TONES, number // 3 % NUM_TONES
        wave = song(rng, [first, second])
        num_frames = NUM_POINTS // 40
        labels = torch.zeros(num_frames, NUM_TONES)
        labels[: num_frames // 2, first] = 1.0
        labels[num_frames // 2 :, second] = 1.0
        samples.append({"input_values": wave, "labels": labels})
    return samples


def spoken_dialogue(config: PretrainedConfig) -> list[Sample]:
    """Write down a song that stands as audio tokens in the text of a language model."""
    import torch

    samples = []
    rng = generator()
    num_audio_tokens = NUM_FRAMES // 4
    for _ in range(NUM_SAMPLES):
        tones = draw_tones(rng)
        answer = spelled(tones)
        ids = torch.cat([torch.full((num_audio_tokens,), AUDIO_TOKEN), answer.clamp_min(0)])
        labels = torch.cat([torch.full((num_audio_tokens,), IGNORED), answer])
        samples.append(
            {
                "input_ids": ids,
                "attention_mask": (ids != 0).long(),
                "input_features": mel(rng, tones).T.contiguous(),
                "feature_attention_mask": torch.ones(NUM_FRAMES, dtype=torch.long),
                "labels": labels,
            }
        )
    return samples
