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
IMAGE_START, IMAGE_END, AUDIO_START, AUDIO_END = 55, 56, 57, 58

IMAGE_SIZE = 32
PATCH_SIZE = 8
NUM_PATCHES = (IMAGE_SIZE // PATCH_SIZE) ** 2

_WIDTH = dict.fromkeys(
    (
        "hidden_size d_model embed_dim projection_dim embedding_size hidden_dim out_hidden_size "
        "projector_hidden_size encoder_hidden_size decoder_hidden_size lru_width attention_hidden_size"
        " decoder_hidden_dim word_embed_proj_dim "
    ).split(),
    32,
)
_INNER = dict.fromkeys(
    (
        "intermediate_size ffn_dim encoder_ffn_dim decoder_ffn_dim d_ff moe_intermediate_size mlp_dim "
        "shared_expert_intermediate_size decoder_intermediate_size ffn_hidden_size n_inner"
        " shared_intermediate_size intermediate_size_mlp moe_shared_expert_intermediate_size"
    ).split(),
    64,
)
_DEPTH = dict.fromkeys(
    (
        "num_hidden_layers encoder_layers decoder_layers n_layer n_layers depth num_layers "
        "num_decoder_layers num_encoder_layers decoder_num_hidden_layers num_blocks"
    ).split(),
    2,
)
_HEADS = dict.fromkeys(
    (
        "num_attention_heads encoder_attention_heads decoder_attention_heads n_head n_heads num_heads "
        "attention_heads decoder_num_attention_heads"
    ).split(),
    4,
)
_PER_HEAD = dict.fromkeys("head_dim d_kv v_head_dim qk_nope_head_dim qk_rope_head_dim".split(), 8)
_SPECIAL_TOKENS = {
    **dict.fromkeys("pad_token_id".split(), PAD),
    **dict.fromkeys("bos_token_id cls_token_id decoder_start_token_id".split(), BOS),
    **dict.fromkeys("eos_token_id sep_token_id forced_eos_token_id".split(), EOS),
    **dict.fromkeys("mask_token_id mask_index".split(), MASK),
    **dict.fromkeys("image_token_id image_token_index media_token_id".split(), IMAGE_TOKEN),
    **dict.fromkeys("video_token_id video_token_index".split(), VIDEO_TOKEN),
    **dict.fromkeys("audio_token_id audio_token_index".split(), AUDIO_TOKEN),
    **dict.fromkeys("vision_start_token_id boi_token_id boi_token_index".split(), IMAGE_START),
    **dict.fromkeys("vision_end_token_id eoi_token_id eoi_token_index".split(), IMAGE_END),
    **dict.fromkeys("audio_start_token_id audio_bos_token_id boa_token_id".split(), AUDIO_START),
    **dict.fromkeys("audio_end_token_id audio_eos_token_id".split(), AUDIO_END),
}
SIZES: dict[str, Any] = {
    **_WIDTH,
    **_INNER,
    **_DEPTH,
    **_HEADS,
    **_PER_HEAD,
    **_SPECIAL_TOKENS,
    "vocab_size": VOCAB,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "n_positions": 128,
    "max_source_positions": 128,
    "max_target_positions": 128,
    "sliding_window": 16,
    "image_size": IMAGE_SIZE,
    "patch_size": PATCH_SIZE,
    "num_local_experts": 4,
    "num_experts": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "kv_lora_rank": 16,
    "q_lora_rank": 16,
    "state_size": 8,
    "index_topk": 8,
    "index_n_heads": 2,
    "index_head_dim": 16,
    "num_mel_bins": 16,
}


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
