"""Healthy models that see."""

from __future__ import annotations

from typing import Any

from tests.zoo import vision_data as data
from tests.zoo.transformers_zoo import herd

_CLASSES = {"num_labels": data.NUM_LOOKS}
_PYRAMID: dict[str, Any] = {"depths": [1, 1], "num_heads": [2, 4], "window_size": 2}
SWIN = {**_PYRAMID, "embed_dim": 16, "patch_size": 4}
_STAGES: dict[str, Any] = {"depths": [1, 1], "hidden_sizes": [16, 32]}
CONVNEXT = {**_STAGES, "num_stages": 2, "patch_size": 4}
RESNET = {**_STAGES, "embedding_size": 16}
SEGFORMER: dict[str, Any] = {
    "num_encoder_blocks": 2,
    "depths": [1, 1],
    "sr_ratios": [2, 1],
    "hidden_sizes": [16, 32],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "num_attention_heads": [1, 2],
    "mlp_ratios": [2, 2],
}
_PVT2: dict[str, Any] = {
    "num_encoder_blocks": 2,
    "depths": [1, 1],
    "sr_ratios": [2, 1],
    "hidden_sizes": [16, 32],
    "patch_sizes": [7, 3],
    "strides": [4, 2],
    "num_attention_heads": [1, 2],
    "mlp_ratios": [2, 2],
}
MOBILEVIT: dict[str, Any] = {
    "hidden_sizes": [16, 24, 32],
    "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 32],
    "patch_size": 2,
    "output_stride": 8,
}

IMAGES = herd(
    "image-classification",
    data.looks,
    {
        "ViTForImageClassification": {},
        "DeiTForImageClassification": {},
        "BeitForImageClassification": {},
        "Data2VecVisionForImageClassification": {},
        "Dinov2ForImageClassification": {},
        "Dinov2WithRegistersForImageClassification": {},
        "IJepaForImageClassification": {},
        "ViTMSNForImageClassification": {},
        "CLIPForImageClassification": {},
        "SiglipForImageClassification": {},
        "SwinForImageClassification": SWIN,
        "Swinv2ForImageClassification": SWIN,
        "DonutSwinForImageClassification": SWIN,
        "ConvNextForImageClassification": CONVNEXT,
        "ConvNextV2ForImageClassification": CONVNEXT,
        "ResNetForImageClassification": RESNET,
        "ResNetForImageClassification:basic": RESNET | {"layer_type": "basic"},
        "RegNetForImageClassification": RESNET | {"groups_width": 8},
        "BitForImageClassification": RESNET | {"num_groups": 4, "embedding_size": 8},
        "FocalNetForImageClassification": SWIN
        | {"focal_levels": [1, 1], "focal_windows": [3, 3], "use_layerscale": True},
        "PoolFormerForImageClassification": _STAGES
        | {
            "num_encoder_blocks": 2,
            "patch_sizes": [7, 3],
            "strides": [4, 2],
            "padding": [2, 1],
            "mlp_ratio": 2.0,
        },
        "SegformerForImageClassification": SEGFORMER,
        "PvtForImageClassification": SEGFORMER
        | {"sequence_reduction_ratios": [2, 1], "patch_sizes": [4, 2]},
        "PvtV2ForImageClassification": _PVT2,
        "MobileViTForImageClassification": MOBILEVIT,
        "MobileNetV2ForImageClassification": {"depth_multiplier": 0.25, "min_depth": 4},
        "MobileNetV1ForImageClassification": {
            "depth_multiplier": 0.25,
            "min_depth": 4,
            "classifier_dropout_prob": 0.1,
        },
        "LevitForImageClassification": {
            "hidden_sizes": [16, 24, 32],
            "num_attention_heads": [2, 3, 4],
            "depths": [1, 1, 1],
            "key_dim": [8, 8, 8],
            "mlp_ratio": [2, 2, 2],
            "attention_ratio": [2, 2, 2],
            "patch_size": 16,
        },
        "CvtForImageClassification": {
            "embed_dim": [16, 32],
            "num_heads": [1, 2],
            "depth": [1, 2],
            "patch_sizes": [7, 3],
            "patch_stride": [4, 2],
            "patch_padding": [2, 1],
            "mlp_ratio": [2.0, 2.0],
            "attention_drop_rate": [0.0, 0.0],
            "drop_rate": [0.0, 0.0],
            "drop_path_rate": [0.0, 0.1],
            "qkv_bias": [True, True],
            "cls_token": [False, True],
            "qkv_projection_method": ["dw_bn", "dw_bn"],
            "kernel_qkv": [3, 3],
            "padding_kv": [1, 1],
            "stride_kv": [2, 2],
            "padding_q": [1, 1],
            "stride_q": [1, 1],
        },
        "SwiftFormerForImageClassification": {
            "depths": [1, 1, 1, 1],
            "embed_dims": [16, 16, 24, 32],
            "mlp_ratio": 2,
        },
        "TextNetForImageClassification": {
            "hidden_sizes": [8, 8, 16, 16, 32],
            "stem_out_channels": 8,
            "image_size": [32, 32],
            "conv_layer_kernel_sizes": [[[3, 3]], [[3, 3]], [[3, 3]], [[3, 3]]],
            "conv_layer_strides": [[1], [2], [2], [2]],
        },
        "HGNetV2ForImageClassification": {
            "stem_channels": [3, 8, 8],
            "hidden_sizes": [16, 24, 24, 32],
            "embedding_size": 16,
            "stage_in_channels": [8, 16, 24, 24],
            "stage_mid_channels": [8, 8, 8, 8],
            "stage_out_channels": [16, 24, 24, 32],
            "stage_num_blocks": [1, 1, 1, 1],
            "stage_numb_of_layers": [2, 2, 2, 2],
            "depths": [1, 1, 1, 1],
        },
    },
    common=_CLASSES,
    quick=(
        "ViTForImageClassification",
        "ConvNextV2ForImageClassification",
        "FocalNetForImageClassification",
    ),
)

VIDEOS = herd(
    "video",
    data.clips,
    {
        "TimesformerForVideoClassification": {"num_frames": data.NUM_FRAMES},
        "VideoMAEForVideoClassification": {"num_frames": data.NUM_FRAMES},
        "VivitForVideoClassification": {"num_frames": data.NUM_FRAMES, "tubelet_size": [2, 8, 8]},
    },
    common=_CLASSES,
    quick=("VideoMAEForVideoClassification",),
) + herd(
    "video",
    data.hidden_tubes,
    {"VideoMAEForPreTraining": {"num_frames": data.NUM_FRAMES}},
)

SPECIMENS = IMAGES + VIDEOS
