"""Configurations of tiny speech encoders of random weights, as keyword arguments of transformers' configurations."""

from __future__ import annotations

from typing import Any

WAVEFORM: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": [8] * 7,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
DATA2VEC: dict[str, Any] = {**WAVEFORM, "num_conv_pos_embeddings": 3, "conv_pos_kernel_size": 5}
WHISPER: dict[str, Any] = {
    "d_model": 16,
    "encoder_layers": 3,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 24,
    "max_source_positions": 100,  # 2 s
    "vocab_size": 60,
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1),
}
