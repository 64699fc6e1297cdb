"""Healthy models that see and read at once."""

from __future__ import annotations

from typing import Any

from tests.zoo import multimodal_data as data
from tests.zoo.text_data import NUM_TAGS
from tests.zoo.tiny import NUM_PATCHES
from tests.zoo.transformers_zoo import herd

_CLIP: dict[str, Any] = {"model_type": "clip_vision_model", "num_hidden_layers": 3}
_SIGLIP: dict[str, Any] = {"model_type": "siglip_vision_model"}
_LLAMA: dict[str, Any] = {"model_type": "llama"}
_ROPE = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [1, 1, 2]}
_QUARTER = NUM_PATCHES // 4
# BLIP starts its eyes at 1e-10, which suits pretrained weights alone.
_BLIP_EYES = {"initializer_range": 0.02}

CONTRASTIVE = herd(
    "contrastive",
    data.pairs,
    {
        "CLIPModel": {},
        "MetaClip2Model": {},
        "ChineseCLIPModel": {},
        "AltCLIPModel": {"text_config": {"project_dim": 32}},
        "SiglipModel": {},
        "BlipModel": {"vision_config": _BLIP_EYES},
        "CLIPSegModel": {},
        "GroupViTModel": {
            "vision_config": {
                "depths": [1, 1, 1],
                "num_group_tokens": [4, 2, 0],
                "num_output_groups": [4, 2, 0],
                "num_hidden_layers": 3,
            },
            "projection_intermediate_dim": 32,
        },
        "OwlViTModel": {},
        "Owlv2Model": {},
        "VisionTextDualEncoderModel": {
            "vision_config": {"model_type": "vit"},
            "text_config": {"model_type": "bert"},
        },
    },
    lr=3e-4,
    quick=("CLIPModel",),
) + herd(
    "contrastive",
    data.sound_pairs,
    {
        "ClapModel": {
            "audio_config": {
                "spec_size": 64,
                "patch_size": 4,
                "patch_stride": [4, 4],
                "window_size": 4,
                "depths": [1, 1],
                "num_attention_heads": [2, 4],
                "num_hidden_layers": 2,
                "patch_embeds_hidden_size": 16,
                "hidden_size": 32,
            },
        },
    },
    lr=3e-4,
)

TALKERS = (
    herd(
        "image-text",
        data.talk(NUM_PATCHES),
        {
            "LlavaForConditionalGeneration": {"vision_config": _CLIP, "text_config": _LLAMA},
            "VipLlavaForConditionalGeneration": {
                "vision_config": _CLIP,
                "text_config": _LLAMA,
                "vision_feature_layers": [-1, -2],
            },
            "PaliGemmaForConditionalGeneration": {
                "vision_config": _SIGLIP | {"vision_use_head": False},
                "text_config": {"model_type": "gemma"},
            },
        },
        quick=("LlavaForConditionalGeneration",),
    )
    + herd(
        "image-text",
        data.gemma_talk,
        {
            "Gemma3ForConditionalGeneration": {
                "vision_config": _SIGLIP | {"vision_use_head": False},
                "text_config": {"model_type": "gemma3_text"},
                "mm_tokens_per_image": _QUARTER,
            },
        },
    )
    + herd(
        "image-text",
        data.talk(_QUARTER),
        {
            "InternVLForConditionalGeneration": {
                "vision_config": {"image_size": [32, 32], "patch_size": [8, 8]},
                "text_config": _LLAMA,
                "downsample_ratio": 0.5,
            },
            "AyaVisionForConditionalGeneration": {
                "vision_config": _SIGLIP,
                "text_config": {"model_type": "cohere2"},
                "adapter_layer_norm_eps": 1e-6,
                "downsample_factor": 2,
            },
        },
    )
    + herd(
        "image-text",
        data.many_pictures(_QUARTER),
        {
            "Idefics3ForConditionalGeneration": {"vision_config": {}, "text_config": _LLAMA},
            "SmolVLMForConditionalGeneration": {"vision_config": {}, "text_config": _LLAMA},
            "Idefics2ForConditionalGeneration": {
                "vision_config": {},
                "text_config": {"model_type": "mistral"},
                "perceiver_config": {
                    "resampler_n_latents": _QUARTER,
                    "resampler_depth": 1,
                    "resampler_n_heads": 2,
                    "resampler_head_dim": 16,
                },
            },
        },
    )
    + herd(
        "image-text",
        data.patch_talk,
        {
            "Qwen2VLForConditionalGeneration": {
                "text_config": {"rope_parameters": _ROPE},
                "vision_config": {},
            },
            "Qwen2_5_VLForConditionalGeneration": {
                "text_config": {"rope_parameters": _ROPE},
                "vision_config": {"window_size": 16, "fullatt_block_indexes": [1]},
            },
            "Qwen3VLForConditionalGeneration": {
                "text_config": {"rope_parameters": _ROPE},
                "vision_config": {"num_position_embeddings": 16, "deepstack_visual_indexes": [0]},
            },
        },
        quick=("Qwen2VLForConditionalGeneration",),
    )
)

CAPTIONERS = (
    herd(
        "caption",
        data.captions,
        {
            "GitForCausalLM": {"vision_config": {}},
            "BlipForConditionalGeneration": {
                "vision_config": _BLIP_EYES,
                "text_config": {"encoder_hidden_size": 32},
                "image_text_hidden_size": 32,
            },
        },
        quick=("GitForCausalLM",),
    )
    + herd(
        "caption",
        data.readings,
        {
            "VisionEncoderDecoderModel": {
                "encoder": {"model_type": "vit"},
                "decoder": {"model_type": "trocr", "cross_attention_hidden_size": 32},
                "decoder_start_token_id": 1,
                "pad_token_id": 0,
            },
        },
    )
    + herd(
        "visual-qa",
        data.questions,
        {"ViltForQuestionAnswering": {"num_labels": data.NUM_LOOKS}},
        quick=("ViltForQuestionAnswering",),
    )
    + herd(
        "visual-qa",
        data.first_word,
        {
            "BlipForQuestionAnswering": {
                "vision_config": _BLIP_EYES,
                "image_text_hidden_size": 32,
            }
        },
    )
)

DOCUMENTS = herd(
    "document",
    data.pages,
    {
        "LayoutLMForTokenClassification": {"max_2d_position_embeddings": 128},
        "LayoutLMv3ForTokenClassification": {
            "max_2d_position_embeddings": 128,
            "coordinate_size": 6,
            "shape_size": 4,
            "input_size": 32,
        },
        "BrosForTokenClassification": {"dim_bbox": 4},
        "LiltForTokenClassification": {
            "hidden_size": 48,
            "max_2d_position_embeddings": 128,
            "channel_shrink_ratio": 2,
        },
    },
    common={"num_labels": NUM_TAGS},
) + herd(
    "visual-pretraining",
    data.regions,
    {"VisualBertForPreTraining": {"visual_embedding_dim": 16}},
)

SPECIMENS = CONTRASTIVE + TALKERS + CAPTIONERS + DOCUMENTS
