"""Healthy models that see every pixel: segmentation, depth, boxes and hidden patches."""

from __future__ import annotations

from typing import Any

from tests.zoo import vision_data as data
from tests.zoo.transformers_zoo import herd
from tests.zoo.vision import CONVNEXT, MOBILEVIT, RESNET, SEGFORMER, SWIN

SEGMENTATION = herd(
    "segmentation",
    data.maps,
    {
        "SegformerForSemanticSegmentation": SEGFORMER,
        "BeitForSemanticSegmentation": {
            "num_hidden_layers": 4,
            "out_indices": [1, 2, 3, 4],
        },
        "MobileNetV2ForSemanticSegmentation": {"depth_multiplier": 0.25},
        "MobileViTForSemanticSegmentation": MOBILEVIT
        | {"aspp_out_channels": 16, "atrous_rates": [1, 2, 3]},
        "UperNetForSemanticSegmentation": {
            "backbone_config": {
                "model_type": "convnext",
                **CONVNEXT,
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
        "GLPNForDepthEstimation": SEGFORMER | {"decoder_hidden_size": 16},
    },
)

MASKED_IMAGES = herd(
    "masked-image",
    data.hidden_patches,
    {
        "ViTForMaskedImageModeling": {"encoder_stride": 8},
        "DeiTForMaskedImageModeling": {"encoder_stride": 8},
        "SwinForMaskedImageModeling": SWIN
        | {"patch_size": 8, "encoder_stride": 16, "window_size": 2},
        "FocalNetForMaskedImageModeling": SWIN
        | {
            "focal_levels": [1, 1],
            "focal_windows": [3, 3],
            "patch_size": 8,
            "encoder_stride": 16,
        },
    },
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
        **RESNET,
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

SPECIMENS = SEGMENTATION + DEPTH + MASKED_IMAGES + DETECTION
