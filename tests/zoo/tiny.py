"""Configurations of transformers, shrunk until a model of any architecture trains on a laptop."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PretrainedConfig

VOCAB = 64
PAD, BOS, EOS, MASK = 0, 1, 2, 3
FIRST_WORD, NUM_WORDS = 4, 48
IMAGE_TOKEN, VIDEO_TOKEN, AUDIO_TOKEN = 52, 53, 54
IMAGE_START, IMAGE_END = 55, 56

IMAGE_SIZE = 32
PATCH_SIZE = 8
NUM_PATCHES = (IMAGE_SIZE // PATCH_SIZE) ** 2

_ALIKE: tuple[tuple[int, str], ...] = (
    (
        32,
        "hidden_size d_model embed_dim projection_dim embedding_size hidden_dim out_hidden_size "
        "projector_hidden_size encoder_hidden_size decoder_hidden_size decoder_hidden_dim "
        "attention_hidden_size lru_width word_embed_proj_dim",
    ),
    (
        64,
        "intermediate_size ffn_dim encoder_ffn_dim decoder_ffn_dim d_ff n_inner mlp_dim "
        "ffn_hidden_size moe_intermediate_size intermediate_size_mlp decoder_intermediate_size "
        "shared_intermediate_size shared_expert_intermediate_size",
    ),
    (
        2,
        "num_hidden_layers encoder_layers decoder_layers n_layer n_layers depth num_layers "
        "num_encoder_layers num_decoder_layers decoder_num_hidden_layers num_blocks",
    ),
    (
        4,
        "num_attention_heads encoder_attention_heads decoder_attention_heads n_head n_heads "
        "num_heads attention_heads decoder_num_attention_heads",
    ),
    (8, "head_dim d_kv v_head_dim qk_nope_head_dim qk_rope_head_dim"),
    (4, "num_local_experts num_experts n_routed_experts"),
    (16, "kv_lora_rank q_lora_rank"),
    (128, "max_position_embeddings n_positions max_source_positions max_target_positions"),
    (PAD, "pad_token_id"),
    (BOS, "bos_token_id cls_token_id decoder_start_token_id"),
    (EOS, "eos_token_id sep_token_id forced_eos_token_id"),
    (MASK, "mask_token_id mask_index"),
    (IMAGE_TOKEN, "image_token_id image_token_index"),
    (VIDEO_TOKEN, "video_token_id video_token_index"),
    (AUDIO_TOKEN, "audio_token_id audio_token_index"),
    (IMAGE_START, "vision_start_token_id boi_token_id boi_token_index"),
    (IMAGE_END, "vision_end_token_id eoi_token_id eoi_token_index"),
)
SIZES: dict[str, int] = {name: size for size, names in _ALIKE for name in names.split()} | {
    "vocab_size": VOCAB,
    "num_key_value_heads": 2,
    "num_experts_per_tok": 2,
    "sliding_window": 16,
    "image_size": IMAGE_SIZE,
    "patch_size": PATCH_SIZE,
    "state_size": 8,
    "num_mel_bins": 16,
}
"""What the sizes that configurations know by these names become."""


def tiny(config_class: type[PretrainedConfig], **overrides: Any) -> PretrainedConfig:
    """Return a configuration with every single size that it knows made small, then the overrides.

    A list of sizes (one per stage) is left alone. A sub-configuration is shrunk likewise; its
    overrides are a dict, which names a `model_type` where the architecture leaves the choice open.
    """
    real_name = config_class.attribute_map
    single = {field.name for field in fields(config_class) if not _is_listed(field)}
    sizes = {real_name.get(name, name): size for name, size in SIZES.items()}
    values = {name: size for name, size in sizes.items() if name in single}
    overrides = {real_name.get(name, name): value for name, value in overrides.items()}
    for name, sub_class in config_class.sub_configs.items():
        chosen = dict(overrides.pop(name, {}))
        chosen_class = _named(chosen.pop("model_type", None)) or sub_class
        if chosen_class.__name__ != "AutoConfig":
            values[name] = tiny(chosen_class, **chosen).to_dict()
    return config_class(**values | overrides)


def _is_listed(field: Field[Any]) -> bool:
    return field.default_factory is not MISSING or isinstance(field.default, (list, tuple))


def _named(model_type: str | None) -> type[PretrainedConfig] | None:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return CONFIG_MAPPING[model_type] if model_type else None
