"""Healthy models that read: masked language models and everything with a head on top."""

from __future__ import annotations

from typing import Any

from tests.zoo import text_data as data
from tests.zoo.tiny import BOS
from tests.zoo.transformers_zoo import herd

_LONGFORMER: dict[str, Any] = {"attention_window": [8, 8]}
_T5 = {"decoder_start_token_id": 0}

MASKED = (
    herd(
        "masked-lm",
        data.masked,
        {
            "BertForMaskedLM": {},
            "RobertaForMaskedLM": {},
            "AlbertForMaskedLM": {},
            "DistilBertForMaskedLM": {"dim": 32, "hidden_dim": 64},
            "ElectraForMaskedLM": {},
            "DebertaForMaskedLM": {},
            "DebertaV2ForMaskedLM": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]},
            "CamembertForMaskedLM": {},
            "ConvBertForMaskedLM": {},
            "ErnieForMaskedLM": {},
            "EsmForMaskedLM": {},
            "FNetForMaskedLM": {},
            "IBertForMaskedLM": {},
            "LongformerForMaskedLM": _LONGFORMER,
            "ModernBertForMaskedLM": {},
            "MPNetForMaskedLM": {},
            "MobileBertForMaskedLM": {"true_hidden_size": 16, "intra_bottleneck_size": 16},
            "MraForMaskedLM": {},
            "NystromformerForMaskedLM": {},
            "RoFormerForMaskedLM": {},
            "SqueezeBertForMaskedLM": {"embedding_size": 32},
            "XLMRobertaForMaskedLM": {},
            "XLMWithLMHeadModel": {},
            "YosoForMaskedLM": {},
        },
        quick=("AlbertForMaskedLM", "DebertaV2ForMaskedLM"),
    )
    + herd(
        "pretraining",
        data.sentence_pairs,
        {"BertForPreTraining": {}, "AlbertForPreTraining": {}, "MobileBertForPreTraining": {}},
        quick=("BertForPreTraining",),
    )
    + herd("pretraining", data.replaced_words, {"ElectraForPreTraining": {}})
)

CLASSIFIERS = (
    herd(
        "classification",
        data.topics,
        {
            "BertForSequenceClassification": {},
            "RobertaForSequenceClassification": {},
            "DistilBertForSequenceClassification": {"dim": 32, "hidden_dim": 64},
            "XLNetForSequenceClassification": {"d_inner": 64},
            "FunnelForSequenceClassification": {"block_sizes": [1, 1], "d_head": 8, "d_inner": 64},
            "GPT2ForSequenceClassification": {},
            "LlamaForSequenceClassification": {},
            "Qwen2ForSequenceClassification": {},
            "T5ForSequenceClassification": _T5,
            "BartForSequenceClassification": {},
            "CanineForSequenceClassification": {
                "num_hash_buckets": 64,
                "downsampling_rate": 2,
                "local_transformer_stride": 8,
            },
            "FlaubertForSequenceClassification": {},
        },
        common={"num_labels": data.NUM_TOPICS},
        quick=("XLNetForSequenceClassification",),
    )
    + herd(
        "regression",
        data.scores,
        {"DebertaV2ForSequenceClassification": {}},
        common={"num_labels": 1, "problem_type": "regression"},
    )
    + herd(
        "multi-label",
        data.many_topics,
        {"MPNetForSequenceClassification": {}},
        common={"num_labels": data.NUM_TOPICS, "problem_type": "multi_label_classification"},
    )
    + herd(
        "token-classification",
        data.tags,
        {
            "BertForTokenClassification": {},
            "DebertaForTokenClassification": {},
            "ElectraForTokenClassification": {},
            "GPT2ForTokenClassification": {},
            "XLMForTokenClassification": {},
            "LongformerForTokenClassification": _LONGFORMER,
        },
        common={"num_labels": data.NUM_TAGS},
        quick=("BertForTokenClassification",),
    )
    + herd(
        "question-answering",
        data.spans,
        {
            "BertForQuestionAnswering": {},
            "RobertaForQuestionAnswering": {},
            "DistilBertForQuestionAnswering": {"dim": 32, "hidden_dim": 64},
            "SplinterForQuestionAnswering": {"question_token_id": BOS},
            "GPTNeoXForQuestionAnswering": {},
        },
    )
    + herd(
        "multiple-choice",
        data.choices,
        {
            "BertForMultipleChoice": {},
            "RobertaForMultipleChoice": {},
            "SqueezeBertForMultipleChoice": {"embedding_size": 32},
            "RoFormerForMultipleChoice": {},
        },
        quick=("RobertaForMultipleChoice",),
    )
)

SPECIMENS = MASKED + CLASSIFIERS
