"""Healthy models that see."""

from __future__ import annotations

from typing import Any

from tests.zoo import vision_data as data
from tests.zoo.transformers_zoo import herd

_CLASSES = {"num_labels": data.NUM_LOOKS}
_PYRAMID: dict[str, Any] = {"depths": [1, 1], "num_heads": [2, 4], "window_size": 2}
_SWIN = {**_PYRAMID, "embed_dim": 16, "patch_size": 4}
_STAGES: dict[str, Any] = {"depths": [1, 1], "hidden_sizes": [16, 32]}
_CONVNEXT = {**_STAGES, "num_stages": 2, "patch_size": 4}
_RESNET = {**_STAGES, "embedding_size": 16}
_SEGFORMER: dict[str, Any] = {
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
_MOBILEVIT: dict[str, Any] = {
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
        "SwinForImageClassification": _SWIN,
        "Swinv2ForImageClassification": _SWIN,
        "DonutSwinForImageClassification": _SWIN,
        "ConvNextForImageClassification": _CONVNEXT,
        "ConvNextV2ForImageClassification": _CONVNEXT,
        "ResNetForImageClassification": _RESNET,
        "ResNetForImageClassification:basic": _RESNET | {"layer_type": "basic"},
        "RegNetForImageClassification": _RESNET | {"groups_width": 8},
        "BitForImageClassification": _RESNET | {"num_groups": 4, "embedding_size": 8},
        "FocalNetForImageClassification": _SWIN
        | {"focal_levels": [1, 1], "focal_windows": [3, 3], "use_layerscale": True},
        "PoolFormerForImageClassification": _STAGES
        | {
            "num_encoder_blocks": 2,
            "patch_sizes": [7, 3],
            "strides": [4, 2],
            "padding": [2, 1],
            "mlp_ratio": 2.0,
        },
        "SegformerForImageClassification": _SEGFORMER,
        "PvtForImageClassification": _SEGFORMER
        | {"sequence_reduction_ratios": [2, 1], "patch_sizes": [4, 2]},
        "PvtV2ForImageClassification": _PVT2,
        "MobileViTForImageClassification": _MOBILEVIT,
        "MobileNetV2ForImageClassification": {"depth_multiplier": 0.25, "min_depth": 4},
        "MobileNetV1ForImageClassification": {"depth_multiplier": 0.25, "min_depth": 4},
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
        "EfficientNetForImageClassification": {
            "width_coefficient": 0.25,
            "depth_coefficient": 0.3,
            "hidden_dim": 320,
        },
        "TextNetForImageClassification": {
            "hidden_sizes": [8, 8, 16, 16, 32],
            "stem_out_channels": 8,
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
        "SwinForImageClassification",
        "ConvNextV2ForImageClassification",
        "ResNetForImageClassification",
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

SEGMENTATION = herd(
    "segmentation",
    data.maps,
    {
        "SegformerForSemanticSegmentation": _SEGFORMER,
        "BeitForSemanticSegmentation": {
            "num_hidden_layers": 4,
            "out_indices": [1, 2, 3, 4],
        },
        "MobileNetV2ForSemanticSegmentation": {"depth_multiplier": 0.25},
        "MobileViTForSemanticSegmentation": _MOBILEVIT
        | {"aspp_out_channels": 16, "atrous_rates": [1, 2, 3]},
        "UperNetForSemanticSegmentation": {
            "backbone_config": {
                "model_type": "convnext",
                **_CONVNEXT,
                "depths": [1, 1, 1],
                "hidden_sizes": [16, 16, 32],
                "num_stages": 3,
                "out_features": ["stage1", "stage2", "stage3"],
            },
            "hidden_size": 32,
            "pool_scales": [1, 2],
            "auxiliary_in_channels": 16,
            "use_auxiliary_head": False,
        },
        "DPTForSemanticSegmentation": {
            "num_hidden_layers": 4,
            "backbone_out_indices": [0, 1, 2, 3],
            "neck_hidden_sizes": [8, 16, 16, 32],
            "fusion_hidden_size": 16,
        },
    },
    common={"num_labels": 2},
    quick=("SegformerForSemanticSegmentation",),
)

DEPTH = herd(
    "depth",
    data.depths,
    {
        "GLPNForDepthEstimation": _SEGFORMER | {"decoder_hidden_size": 16},
    },
)

MASKED_IMAGES = herd(
    "masked-image",
    data.hidden_patches,
    {
        "ViTForMaskedImageModeling": {"encoder_stride": 8},
        "DeiTForMaskedImageModeling": {"encoder_stride": 8},
        "SwinForMaskedImageModeling": _SWIN
        | {"patch_size": 8, "encoder_stride": 16, "window_size": 2},
        "Swinv2ForMaskedImageModeling": _SWIN
        | {"patch_size": 8, "encoder_stride": 16, "window_size": 2},
        "FocalNetForMaskedImageModeling": _SWIN
        | {
            "focal_levels": [1, 1],
            "focal_windows": [3, 3],
            "patch_size": 8,
            "encoder_stride": 16,
        },
    },
    quick=("ViTForMaskedImageModeling",),
) + herd(
    "masked-image",
    data.pictures,
    {
        "ViTMAEForPreTraining": {
            "decoder_hidden_size": 32,
            "decoder_num_hidden_layers": 1,
            "mask_ratio": 0.5,
        }
    },
    quick=("ViTMAEForPreTraining",),
)

_DETR_COMMON: dict[str, Any] = {
    "num_labels": 2,
    "num_queries": 6,
    "use_timm_backbone": False,
    "use_pretrained_backbone": False,
    "backbone": None,
    "backbone_config": {
        "model_type": "resnet",
        **_RESNET,
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [16, 16, 32, 32],
        "out_features": ["stage4"],
    },
}
_DETR_PYRAMID = _DETR_COMMON | {
    "num_feature_levels": 2,
    "backbone_config": _DETR_COMMON["backbone_config"] | {"out_features": ["stage3", "stage4"]},
}

DETECTION = herd(
    "detection",
    data.boxes,
    {
        "YolosForObjectDetection": {
            "num_labels": 2,
            "image_size": [32, 32],
            "num_detection_tokens": 6,
        },
        "DetrForObjectDetection": _DETR_COMMON,
        "ConditionalDetrForObjectDetection": _DETR_COMMON,
        "TableTransformerForObjectDetection": _DETR_COMMON,
        "DabDetrForObjectDetection": _DETR_COMMON,
        "DeformableDetrForObjectDetection": _DETR_PYRAMID,
    },
    quick=("YolosForObjectDetection",),
    needs=("scipy", "PIL"),
)

SPECIMENS = IMAGES + VIDEOS + SEGMENTATION + DEPTH + MASKED_IMAGES + DETECTION
