"""Pretrained text encoders as readers of transcripts: the text branch of an audio-textual student.

Any encoder of transformers' `AutoModel` (BERT, MiniLM, DistilBERT, RoBERTa, XLM-R ...) with its own tokenizer, from a
Hub id or a folder; only safetensors, nothing loaded by halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor, nn

from sercli.errors import BundleError, first_line
from sercli.models import pretrained
from sercli.models.frontend import frame_mask

MOST_TOKENS = 128  # about ninety words; what follows is not read
POOLER = "pooler"  # on top of BERT's first token, which nobody reads here


class Reading(NamedTuple):
    """Transcripts of a batch of clips."""

    tokens: Tensor
    """int64 (batch, tokens), zeros after the end"""
    counts: Tensor
    """tokens per clip, int64 (batch,); 0 where there is no transcript"""
    audible: Tensor
    """bool (batch,): the clip's sound may be heard; always where there is no transcript"""


@dataclass(frozen=True)
class TextSource:
    """Where a text encoder comes from."""

    name: str
    """local folder, or Hub id such as `sentence-transformers/all-MiniLM-L6-v2`"""
    revision: str = ""
    """of a Hub id: best its full commit; empty for a folder"""


class TextEncoder(nn.Module):
    """A text encoder, frozen or trained whole.

    Args:
        model: of transformers
        trained: whether its weights are
    """

    def __init__(self, model: nn.Module, trained: bool) -> None:
        super().__init__()
        self.model = model
        config: Any = model.config
        self.width = int(config.hidden_size)
        self.vocabulary = int(config.vocab_size)
        self.sha256 = pretrained.weights_sha256(model)  # as they were loaded
        self.trained = trained
        self.requires_grad_(trained)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch to training; a frozen encoder stays in evaluation mode."""
        super().train(mode and self.trained)
        return self

    def forward(self, tokens: Tensor, counts: Tensor) -> Tensor:
        """Read a batch; the same transcript is read once, however many clips have it.

        Args:
            tokens: int64 (batch, tokens), zeros after the end
            counts: tokens per text, int64 (batch,), at least 1

        Returns:
            states of the last layer, float32 (batch, tokens, width), zero after the end
        """
        both = torch.cat([counts[:, None], tokens], dim=1)
        distinct, place = torch.unique(both, dim=0, return_inverse=True)
        mask = frame_mask(distinct[:, 0], tokens.shape[1])
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            states = self.model(input_ids=distinct[:, 1:], attention_mask=mask.long()).last_hidden_state
        found: Tensor = (states.float() * mask[:, :, None])[place]
        return found


class Tokenizer:
    """Turns transcripts into token numbers as an encoder wants them; can be sent to another process."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer

    def __call__(self, text: str) -> list[int]:
        """Tokens of a transcript, the encoder's own marks around them; none of an empty one."""
        if not text.strip():
            return []
        return list(self.tokenizer(text.strip(), truncation=True, max_length=MOST_TOKENS)["input_ids"])


def load_text_encoder(source: TextSource, trained: bool = False) -> TextEncoder:
    """Load a text encoder in float32.

    Raises:
        ModelNotFoundError: no such folder, id or revision, or no network
        RecipeError: a Hub id without a revision
        BundleError: not a text encoder, or weights that are missing, damaged, pickled or of another shape
    """
    from transformers import AutoConfig, AutoModel

    files = pretrained.find(source.name, source.revision)
    config: Any = AutoConfig.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
    if getattr(config, "vocab_size", None) is None or getattr(config, "is_encoder_decoder", False):
        kind = files.settings.get("model_type")
        raise BundleError(f"{source.name}: a {kind!r} model, not a text encoder; take one such as MiniLM or XLM-R")
    model: Any = pretrained.load(AutoModel, files, config, unread=(POOLER,))
    if hasattr(model, POOLER):
        model.pooler = None  # random where the checkpoint lacks it
    return TextEncoder(model, trained)


def load_tokenizer(source: TextSource) -> Tokenizer:
    """Load the tokenizer that stands beside a text encoder.

    Raises:
        ModelNotFoundError, RecipeError: as `load_text_encoder`
        BundleError: none that can be read
    """
    from transformers import AutoTokenizer

    files = pretrained.find(source.name, source.revision)
    try:
        loaded = AutoTokenizer.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as problem:
        reason = first_line(problem)
        raise BundleError(f"{source.name}: no tokenizer that can be read ({reason}); get the model again") from problem
    return Tokenizer(loaded)


def reading(transcripts: Sequence[Sequence[int]], audible: Tensor | None = None) -> Reading:
    """Pad the tokens of a batch of transcripts; those of clips without any are empty."""
    counts = [len(tokens) for tokens in transcripts]
    tokens = torch.zeros(len(counts), max(*counts, 1), dtype=torch.int64)
    for row, found in zip(tokens, transcripts, strict=True):
        row[: len(found)] = torch.tensor(found, dtype=torch.int64)
    return Reading(
        tokens, torch.tensor(counts), torch.ones(len(counts), dtype=torch.bool) if audible is None else audible
    )
