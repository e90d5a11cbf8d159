"""A student that hears and reads: an audio student and a text encoder, pooled and fused; after arXiv 2305.19184.

    waveform -> any student of `students` -> embedding -> a  \\
                                                               fusion -> embedding -> classes, dimensions
    transcript -> text encoder -> tokens -> pooled -> t       /

One network answers in three modes, for what is missing is replaced by zeros: by sound alone, by text alone, by both. A
clip without a transcript takes the path of sound alone, whatever stands in the clips beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from sercli.errors import BundleError
from sercli.fields import demand
from sercli.models.frontend import frame_mask
from sercli.models.partial_state import leave_out
from sercli.models.student import Stage, StudentArguments, StudentNetwork
from sercli.models.text_encoder import Reading, TextSource, load_text_encoder

FUSIONS = ("concat", "gated", "cross-attention")
POOLINGS = ("mean", "attentive")
HEADS = 4  # of cross-attention


@dataclass(frozen=True)
class FusedArguments(StudentArguments):
    """Who hears, who reads, and how both come together."""

    audio: str = "cnn-attention"
    """architecture of the audio student"""
    audio_arguments: Mapping[str, Any] = field(default_factory=dict)
    """all its sizes"""
    text: str = ""
    """text encoder: local folder, or Hub id"""
    revision: str = ""
    """of a Hub id"""
    text_sha256: str = ""
    """of the text encoder's weights; noted by the run"""
    trained_text: bool = False
    """the text encoder was trained too, and its weights stand in the student's"""
    fusion: str = "concat"
    """concat, gated (a share for each, dimension by dimension) or cross-attention"""
    pooling: str = "mean"
    """over tokens: mean or attentive"""

    def __post_init__(self) -> None:
        demand(self.fusion in FUSIONS, "method.audio-text.fusion", f"one of {', '.join(FUSIONS)}", self.fusion)
        demand(self.pooling in POOLINGS, "method.audio-text.pooling", f"one of {', '.join(POOLINGS)}", self.pooling)
        whole = self.fusion != "cross-attention" or self.embedding % HEADS == 0
        demand(whole, "method.audio-text.embedding", f"a multiple of {HEADS} for cross-attention", self.embedding)


class FusedStudent(StudentNetwork):
    """An audio student and a text encoder that answer together.

    Args:
        arguments: sizes, and the text encoder, whose weights are loaded from where it lies
        classes: number of emotion classes

    Raises:
        BundleError: the text encoder's weights are not those it was trained with
        ModelNotFoundError, RecipeError: as `load_text_encoder`
    """

    arguments: FusedArguments

    def __init__(self, arguments: FusedArguments, classes: int) -> None:
        from sercli.models import students  # which knows this one too

        sizes = students.arguments_from(arguments.audio_arguments, architecture=arguments.audio)
        audio = students.build(replace(sizes, dimensions=False), classes)
        text = load_text_encoder(TextSource(arguments.text, arguments.revision), arguments.trained_text)
        if arguments.text_sha256 not in ("", text.sha256):
            found = f"sha256 {text.sha256[:12]}, not {arguments.text_sha256[:12]}"
            raise BundleError(f"{arguments.text}: other weights than the student read with ({found}); restore those")
        told = replace(arguments, text_sha256=text.sha256, audio_arguments=students.arguments_dict(audio.arguments))
        super().__init__(told, classes, audio.frontend)
        self.audio, self.text = audio, text
        width, fusion = arguments.embedding, arguments.fusion
        self.hear = nn.Sequential(nn.LayerNorm(sizes.embedding), nn.Linear(sizes.embedding, width), nn.ReLU())
        self.read = nn.Sequential(nn.LayerNorm(text.width), nn.Linear(text.width, width), nn.ReLU())
        self.token_scores = nn.Linear(text.width, 1) if arguments.pooling == "attentive" else None
        if fusion == "gated":
            self.gate = nn.Linear(2 * width, width)
        elif fusion == "cross-attention":
            frames = audio.stages["frames"]
            self.to_text, self.to_audio = (
                nn.MultiheadAttention(width, HEADS, batch_first=True, kdim=other, vdim=other)
                for other in (text.width, frames)
            )
        parts = {"concat": 2, "gated": 1, "cross-attention": 4}[fusion]
        self.dropout = nn.Dropout(arguments.dropout)
        self.embedding = nn.Linear(parts * width, width)
        self.classifier = nn.Linear(width, classes)
        self.frozen = frozenset() if text.trained else frozenset(f"text.{name}" for name in text.state_dict())
        leave_out(self)

    @property
    def stages(self) -> dict[str, int]:
        """Those of the audio student."""
        return self.audio.stages

    def forward(self, waveform: Tensor, lengths: Tensor, text: Reading | None = None) -> dict[str, Tensor]:
        """Label a batch of clips by their sound, and by their transcripts where they have any; see StudentNetwork."""
        log_mel, counts = self.frontend(waveform, lengths)
        return self.body(log_mel, counts, text=text)

    def body(
        self, log_mel: Tensor, counts: Tensor, stages: dict[str, Stage] | None = None, text: Reading | None = None
    ) -> dict[str, Tensor]:
        """Everything after the front end; see StudentNetwork.body.

        Args:
            log_mel: see there
            counts: see there
            stages: see there; of the audio student
            text: transcripts; None: no clip has one
        """
        heard_at: dict[str, Stage] = {} if stages is None else stages
        embedding = self.audio.body(log_mel, counts, heard_at)["embedding"].float()
        heard = self.hear(embedding)
        if text is None:
            none = torch.zeros(len(heard), dtype=torch.int64, device=heard.device)
            text = Reading(none[:, None], none, none == 0)
        has_text = (text.counts > 0).float()[:, None]
        has_audio = torch.maximum(text.audible.float()[:, None], 1.0 - has_text)
        if bool(has_text.any()):
            states, there = self._states(text)
            read = self.read(self._pooled(states, there)) * has_text
        else:
            states, there = heard.new_zeros(len(heard), 1, self.text.width), heard.new_zeros(len(heard), 1)
            read = torch.zeros_like(heard)
        heard = heard * has_audio
        fused = self._fused(heard, read, has_audio, has_text, heard_at["frames"], (states, there))
        embedding = torch.relu(self.embedding(self.dropout(fused)))
        return self.said(self.classifier(embedding), embedding)

    def _states(self, text: Reading) -> tuple[Tensor, Tensor]:
        """Token states, zero where there is none, (batch, tokens, width), and their mask (batch, tokens)."""
        told = text.counts > 0
        found = self.text(text.tokens[told], text.counts[told])
        states = found.new_zeros(len(told), *found.shape[1:])
        states[told] = found
        return states, frame_mask(text.counts, states.shape[1])

    def _pooled(self, states: Tensor, there: Tensor) -> Tensor:
        if self.token_scores is None:
            return states.sum(dim=1) / there.sum(dim=1).clamp(min=1.0)[:, None]
        scores = self.token_scores(states)[:, :, 0] - 1e4 * (1.0 - there)
        return (torch.softmax(scores, dim=1)[:, :, None] * states).sum(dim=1)

    def _fused(
        self,
        heard: Tensor,
        read: Tensor,
        has_audio: Tensor,
        has_text: Tensor,
        frames: Stage,
        tokens: tuple[Tensor, Tensor],
    ) -> Tensor:
        """Bring both branches together, each zero where it is missing."""
        if self.arguments.fusion == "concat":
            return torch.cat([heard, read], dim=1)
        if self.arguments.fusion == "gated":
            share = torch.sigmoid(self.gate(torch.cat([heard, read], dim=1)))
            both = has_audio * has_text
            share = both * share + (1.0 - both) * has_audio  # alone, either has it all
            return share * heard + (1.0 - share) * read
        states, there = tokens
        features, counts = frames
        present = frame_mask(counts, features.shape[1])
        both = has_audio * has_text
        of_text = _attended(self.to_text, heard, states, there) * both
        of_audio = _attended(self.to_audio, read, features.float(), present) * both
        return torch.cat([heard, read, of_text, of_audio], dim=1)


def _attended(attention: nn.MultiheadAttention, asking: Tensor, states: Tensor, there: Tensor) -> Tensor:
    """What one query (batch, width) finds among states (batch, places, other width); something finite among none."""
    hidden = there == 0
    hidden = hidden & ~hidden.all(dim=1, keepdim=True)
    found: Tensor = attention(asking[:, None], states, states, key_padding_mask=hidden, need_weights=False)[0]
    return found[:, 0]
