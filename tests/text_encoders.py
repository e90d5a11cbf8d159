"""A tiny text encoder of random weights, which knows a few words."""

from __future__ import annotations

from pathlib import Path

WORDS = ("kids", "dogs", "are", "talking", "sitting", "by", "the", "door", "happy", "sad", "angry")


def save_text_encoder(folder: Path, seed: int = 0) -> Path:
    """Write a BERT of width 16 and its tokenizer, without the pooler, as many checkpoints come."""
    import torch
    import transformers

    torch.manual_seed(seed)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        max_position_embeddings=160,
    )
    model = transformers.BertModel(config, add_pooling_layer=False)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    transformers.BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return folder
