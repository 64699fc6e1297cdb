"""Healthy models that write: language models and translators."""

from __future__ import annotations

from tests.zoo import text_data as data
from tests.zoo.tiny import BOS, PAD
from tests.zoo.transformers_zoo import herd

_HEADS = {"num_key_value_heads": 4}
_DECODER = {"is_decoder": True}
_MAMBA2 = {"head_dim": 8, "num_heads": 8, "n_groups": 2, "chunk_size": 8}
_HYBRID = {"layer_types": ["linear_attention", "full_attention"]}
_BIG_BIRD = {"attention_type": "original_full"}
_T5 = {"decoder_start_token_id": 0}
_DECODER_HALF = {"decoder_start_token_id": BOS}

CAUSAL = (
    herd(
        "causal-lm",
        data.language,
        {
            "GPT2LMHeadModel": {},
            "GPTNeoForCausalLM": {"attention_types": [[["global", "local"], 1]], "window_size": 8},
            "GPTNeoXForCausalLM": {},
            "GPTNeoXJapaneseForCausalLM": {},
            "GPTJForCausalLM": {"rotary_dim": 4},
            "CodeGenForCausalLM": {"rotary_dim": 4},
            "GPTBigCodeForCausalLM": {},
            "OpenAIGPTLMHeadModel": {},
            "CTRLLMHeadModel": {"dff": 64},
            "OPTForCausalLM": {},
            "BloomForCausalLM": {},
            "FalconForCausalLM": {},
            "MptForCausalLM": {},
            "XGLMForCausalLM": {},
            "BioGptForCausalLM": {},
            "LlamaForCausalLM": {},
            "LlamaForCausalLM:tied": {"tie_word_embeddings": True},
            "Llama4ForCausalLM": {
                "moe_layers": [1],
                "intermediate_size_mlp": 64,
                "no_rope_layers": [1, 0],
                "layer_types": ["chunked_attention", "full_attention"],
            },
            "MistralForCausalLM": {},
            "MixtralForCausalLM": {},
            "MixtralForCausalLM:router": {"output_router_logits": True},
            "GemmaForCausalLM": {},
            "Gemma2ForCausalLM": {},
            "Gemma3ForCausalLM": {},
            "Qwen2ForCausalLM": {},
            "Qwen2MoeForCausalLM": {},
            "Qwen3ForCausalLM": {},
            "Qwen3MoeForCausalLM": {"num_experts": 4},
            "Qwen3NextForCausalLM": _HYBRID
            | {
                "linear_key_head_dim": 8,
                "linear_value_head_dim": 8,
                "linear_num_key_heads": 2,
                "linear_num_value_heads": 4,
            },
            "PhiForCausalLM": {},
            "Phi3ForCausalLM": {},
            "PhimoeForCausalLM": {},
            "OlmoForCausalLM": {},
            "Olmo2ForCausalLM": {},
            "OlmoeForCausalLM": {},
            "StableLmForCausalLM": {},
            "Starcoder2ForCausalLM": {},
            "CohereForCausalLM": {"logit_scale": 1.0},
            "Cohere2ForCausalLM": {},
            "GraniteForCausalLM": {},
            "GraniteMoeForCausalLM": {},
            "DeepseekV3ForCausalLM": _HEADS
            | {"first_k_dense_replace": 1, "n_group": 2, "topk_group": 1},
            "GptOssForCausalLM": {},
            "SmolLM3ForCausalLM": {},
            "NemotronForCausalLM": {},
            "PersimmonForCausalLM": {},
            "HeliumForCausalLM": {},
            "GlmForCausalLM": {},
            "BitNetForCausalLM": {},
            "MambaForCausalLM": {},
            "Mamba2ForCausalLM": _MAMBA2,
            "FalconMambaForCausalLM": {},
            "RecurrentGemmaForCausalLM": {
                "num_hidden_layers": 3,
                "attention_window_size": 16,
                "block_types": ["recurrent", "recurrent", "attention"],
            },
            "JambaForCausalLM": {
                "attn_layer_period": 2,
                "attn_layer_offset": 1,
                "mamba_d_state": 8,
                "use_mamba_kernels": False,
            },
            "RwkvForCausalLM": {"context_length": 64, "attention_hidden_size": 32},
            "Lfm2ForCausalLM": {"layer_types": ["conv", "full_attention"]},
        },
        quick=(
            "GPT2LMHeadModel",
            "LlamaForCausalLM",
            "MixtralForCausalLM",
            "MambaForCausalLM",
        ),
    )
    + herd(
        "causal-lm",
        data.language,
        {
            "BertLMHeadModel": {},
            "RobertaForCausalLM": {},
            "ElectraForCausalLM": {},
            "RemBertForCausalLM": {"input_embedding_size": 32, "output_embedding_size": 32},
            "BigBirdForCausalLM": _BIG_BIRD,
        },
        common=_DECODER,
    )
    + herd(
        "causal-lm",
        data.next_words,
        {
            "BartForCausalLM": {},
            "MBartForCausalLM": {},
            "BlenderbotForCausalLM": {},
            "TrOCRForCausalLM": {},
        },
        quick=("BartForCausalLM",),
    )
)

SEQ2SEQ = herd(
    "seq2seq",
    data.translation,
    {
        "BartForConditionalGeneration": {},
        "T5ForConditionalGeneration": _T5,
        "MT5ForConditionalGeneration": _T5,
        "UMT5ForConditionalGeneration": _T5,
        "LongT5ForConditionalGeneration": _T5 | {"local_radius": 7},
        "SwitchTransformersForConditionalGeneration": _T5
        | {"num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1},
        "MarianMTModel": _DECODER_HALF,
        "PegasusForConditionalGeneration": {},
        "BlenderbotForConditionalGeneration": {},
        "MBartForConditionalGeneration": {},
        "M2M100ForConditionalGeneration": {},
        "BigBirdPegasusForConditionalGeneration": _BIG_BIRD,
        "LEDForConditionalGeneration": {
            "attention_window": [8, 8],
            "max_encoder_position_embeddings": 64,
            "max_decoder_position_embeddings": 64,
        },
        "ProphetNetForConditionalGeneration": {"encoder_ffn_dim": 64},
        "FSMTForConditionalGeneration": {"src_vocab_size": 64, "tgt_vocab_size": 64},
        "EncoderDecoderModel": {
            "encoder": {"model_type": "bert"},
            "decoder": {"model_type": "bert", "is_decoder": True, "add_cross_attention": True},
            **_DECODER_HALF,
            "pad_token_id": PAD,
        },
    },
    quick=("BartForConditionalGeneration", "T5ForConditionalGeneration"),
)

SPECIMENS = CAUSAL + SEQ2SEQ
