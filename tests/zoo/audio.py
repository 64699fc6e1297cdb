"""Healthy models that listen and speak."""

from __future__ import annotations

from typing import Any

from tests.zoo import audio_data as data
from tests.zoo.transformers_zoo import herd

_WAVES: dict[str, Any] = {
    "conv_dim": [32, 32],
    "conv_kernel": [10, 4],
    "conv_stride": [10, 4],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "mask_time_length": 2,
    "classifier_proj_size": 32,
}
_SEW = _WAVES | {"squeeze_factor": 2, "max_position_embeddings": 64, "position_buckets": 16}
_XVECTOR = _WAVES | {
    "tdnn_dim": [32, 32, 64],
    "tdnn_kernel": [5, 3, 1],
    "tdnn_dilation": [1, 2, 1],
    "xvector_output_dim": 32,
}
_BERT_FOR_SPEECH: dict[str, Any] = {
    "feature_projection_input_dim": data.NUM_MELS,
    "conv_depthwise_kernel_size": 5,
    "mask_time_length": 2,
    "classifier_proj_size": 32,
}
_WHISPER: dict[str, Any] = {
    "max_source_positions": data.NUM_FRAMES // 2,
    "max_target_positions": 16,
}
_SPEECHT5 = _WAVES | {
    "num_mel_bins": data.NUM_MELS,
    "speech_decoder_prenet_units": 32,
    "speech_decoder_postnet_units": 16,
    "speech_decoder_postnet_layers": 2,
    "max_speech_positions": 64,
    "max_text_positions": 64,
    "encoder_max_relative_position": 16,
}

CLASSIFICATION = (
    herd(
        "audio-classification",
        data.spoken_topics,
        {
            "Wav2Vec2ForSequenceClassification": _WAVES,
            "HubertForSequenceClassification": _WAVES,
            "WavLMForSequenceClassification": _WAVES,
            "Data2VecAudioForSequenceClassification": _WAVES | {"num_conv_pos_embeddings": 2},
            "UniSpeechForSequenceClassification": _WAVES,
            "UniSpeechSatForSequenceClassification": _WAVES,
            "Wav2Vec2ConformerForSequenceClassification": _WAVES
            | {"conv_depthwise_kernel_size": 5},
            "SEWForSequenceClassification": _SEW,
            "SEWDForSequenceClassification": _SEW,
            "Wav2Vec2ForXVector": _XVECTOR,
            "WavLMForXVector": _XVECTOR,
        },
        common={"num_labels": data.NUM_TONES},
    )
    + herd(
        "audio-classification",
        data.mel_topics,
        {
            "ASTForAudioClassification": {
                "max_length": data.NUM_FRAMES,
                "frequency_stride": 8,
                "time_stride": 8,
            },
            "Wav2Vec2BertForSequenceClassification": _BERT_FOR_SPEECH,
        },
        common={"num_labels": data.NUM_TONES},
        quick=("ASTForAudioClassification",),
    )
    + herd(
        "audio-classification",
        data.upright_mel_topics,
        {"WhisperForAudioClassification": _WHISPER | {"num_labels": data.NUM_TONES}},
    )
    + herd(
        "audio-frames",
        data.frames,
        {
            "Wav2Vec2ForAudioFrameClassification": _WAVES,
            "WavLMForAudioFrameClassification": _WAVES,
        },
        common={"num_labels": data.NUM_TONES},
    )
)

CTC = herd(
    "ctc",
    data.spelled_songs,
    {
        "Wav2Vec2ForCTC": _WAVES,
        "HubertForCTC": _WAVES,
        "WavLMForCTC": _WAVES | {"ctc_loss_reduction": "mean"},
        "UniSpeechForCTC": _WAVES,
        "UniSpeechSatForCTC": _WAVES,
        "Data2VecAudioForCTC": _WAVES | {"num_conv_pos_embeddings": 2},
        "Wav2Vec2ConformerForCTC": _WAVES | {"conv_depthwise_kernel_size": 5},
        "SEWForCTC": _SEW,
    },
    quick=("Wav2Vec2ForCTC",),
) + herd(
    "ctc",
    data.mel_spellings,
    {
        "Wav2Vec2BertForCTC": _BERT_FOR_SPEECH,
        "ParakeetForCTC": {
            "encoder_config": {
                "subsampling_conv_channels": 8,
                "subsampling_factor": 4,
                "conv_kernel_size": 5,
                "num_key_value_heads": 4,
            },
        },
    },
)

SPEECH_TO_TEXT = (
    herd(
        "speech-to-text",
        data.transcripts,
        {
            "MoonshineForConditionalGeneration": {
                "encoder_num_hidden_layers": 2,
                "encoder_num_attention_heads": 4,
                "encoder_num_key_value_heads": 4,
                "num_key_value_heads": 4,
            },
            "SpeechT5ForSpeechToText": _SPEECHT5,
            "SpeechEncoderDecoderModel": {
                "encoder": {"model_type": "wav2vec2", **_WAVES},
                "decoder": {
                    "model_type": "bert",
                    "is_decoder": True,
                    "add_cross_attention": True,
                },
                "decoder_start_token_id": 1,
                "pad_token_id": 0,
            },
        },
    )
    + herd(
        "speech-to-text",
        data.mel_transcripts,
        {
            "Speech2TextForConditionalGeneration": {
                "input_feat_per_channel": data.NUM_MELS,
                "conv_channels": 32,
            },
            "Pop2PianoForConditionalGeneration": {
                "d_model": data.NUM_MELS,
                "decoder_start_token_id": 0,
            },
        },
    )
    + herd(
        "speech-to-text",
        data.upright_mel_transcripts,
        {"WhisperForConditionalGeneration": _WHISPER},
        quick=("WhisperForConditionalGeneration",),
    )
    + herd(
        "speech-to-text",
        data.spoken_dialogue,
        {
            "Qwen2AudioForConditionalGeneration": {
                "audio_config": {
                    "model_type": "qwen2_audio_encoder",
                    "max_source_positions": data.NUM_FRAMES // 2,
                },
                "text_config": {"model_type": "qwen2"},
            },
        },
    )
)

SPEAKING = herd("text-to-speech", data.speech, {"SpeechT5ForTextToSpeech": _SPEECHT5})

SPECIMENS = CLASSIFICATION + CTC + SPEECH_TO_TEXT + SPEAKING
