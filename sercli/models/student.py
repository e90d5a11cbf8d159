"""What every student architecture has in common: its front end, its stages, its pooling and what it answers.

An architecture is a subclass of `StudentNetwork` (most of `AttentiveStudent`) and a dataclass of sizes; its file also
has the sizes `nano`, `micro` and `small`, and `students.ARCHITECTURES` has its name. What holds for all of them:

- Padding never leaks. Every operation that looks along time is given frames that are zero outside the clip, so a clip
  in a padded batch sees exactly the zeros that it sees at its own end when it is alone; sums over time leave the
  padding out. A clip of one frame works.
- Input is normalised by `LogMel`, which has no parameters. Only `distil` has a front end of its own, its encoder's.
- Sums over time run in float32, whatever the layers were trained in.
- `body` exports to ONNX with free batch and frames.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sercli.audio import SAMPLE_RATE
from sercli.fields import demand
from sercli.models.frontend import LogMel

DIMENSIONS = 3  # arousal, valence, dominance
SAMPLES_A_MS = SAMPLE_RATE // 1_000

Stage = tuple[Tensor, Tensor]
"""Frame-level features, zero in the padding, shape (batch, frames, width), and frames per clip, shape (batch,)."""


@dataclass(frozen=True)
class StudentArguments:
    """Sizes of any student; stored in its bundle's config."""

    embedding: int = 128
    """width of the utterance embedding"""
    dropout: float = 0.2
    """share of the pooled values dropped in training"""
    dimensions: bool = False
    """says arousal, valence and dominance too; set where the recipe's `outputs` asks for them"""


@dataclass(frozen=True)
class LogMelArguments(StudentArguments):
    """Sizes of a student that hears log-mel frames."""

    mels: int = 64
    """mel bands"""
    window_ms: int = 25
    """of a frame, in milliseconds: the longer, the finer its frequencies"""
    hop_ms: int = 10
    """from one frame to the next, in milliseconds"""
    per_band: bool = False
    """normalise each mel band's mean, not only the clip's"""


@dataclass(frozen=True)
class AttentiveArguments(LogMelArguments):
    """Sizes of a student with attentive statistics."""

    attention: int = 64
    """hidden width of the attention that pools the frames"""


class StudentNetwork(nn.Module, ABC):
    """A whole student: a front end without gradients, and a body that maps its frames to classes.

    Args:
        arguments: sizes
        classes: number of emotion classes
        frontend: called as `LogMel` is, and returns what `body` takes; None: the log-mel frames of the arguments
    """

    arguments: StudentArguments

    def __init__(self, arguments: StudentArguments, classes: int, frontend: nn.Module | None = None) -> None:
        super().__init__()
        self.arguments = arguments
        self.classes = classes
        self.frontend = log_mel(arguments) if frontend is None else frontend
        self.rater = nn.Linear(arguments.embedding, DIMENSIONS) if arguments.dimensions else None

    @property
    @abstractmethod
    def stages(self) -> dict[str, int]:
        """Width of the frame-level features at each depth, for distillation; `frames` is the deepest."""

    @property
    def exits(self) -> int:
        """How many vectors of logits `body` gives as `exits`, shallow to deep; 0 where `logits` are the only ones."""
        return 0

    @property
    def further(self) -> dict[str, int]:
        """What it says besides classes and embedding, name to width."""
        return {"dimensions": DIMENSIONS} if self.rater is not None else {}

    @abstractmethod
    def body(self, log_mel: Tensor, counts: Tensor, stages: dict[str, Stage] | None = None) -> dict[str, Tensor]:
        """Everything after the front end.

        Args:
            log_mel: normalised frames, zero in the padding, shape (batch, frames, mels)
            counts: frames per clip, shape (batch,)
            stages: if given, gets the features of every stage, those with bands averaged over them

        Returns:
            as `said`
        """

    def said(self, logits: Tensor, embedding: Tensor) -> dict[str, Tensor]:
        """What a student answers: `logits` (batch, classes), `embedding` (batch, d), and where it rates `dimensions`.

        Those are arousal, valence and dominance, each from 0 to 1, (batch, 3).
        """
        rated = {} if self.rater is None else {"dimensions": torch.sigmoid(self.rater(embedding))}
        return {"logits": logits, "embedding": embedding, **rated}

    def forward(self, waveform: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Label a batch of clips.

        Args:
            waveform: mono float32 at 16 kHz, zero-padded on the right, shape (batch, samples)
            lengths: true lengths in samples, shape (batch,)

        Returns:
            as `said`
        """
        return self.body(*self.frontend(waveform, lengths))


def log_mel(arguments: StudentArguments) -> LogMel:
    """Build the front end that the arguments ask for."""
    assert isinstance(arguments, LogMelArguments)
    return LogMel(
        arguments.mels,
        per_band=arguments.per_band,
        window_samples=arguments.window_ms * SAMPLES_A_MS,
        hop_samples=arguments.hop_ms * SAMPLES_A_MS,
    )


class AttentiveStatistics(nn.Module):
    """Attentive mean and standard deviation over the frames of a clip, one weight per frame and channel.

    Okabe et al. 2018, "Attentive Statistics Pooling for Deep Speaker Embedding"; the weights are per channel as in
    ECAPA-TDNN.
    """

    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.inner = nn.Conv1d(channels, hidden, 1)
        self.outer = nn.Conv1d(hidden, channels, 1)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """Pool (batch, channels, frames) under mask (batch, 1, frames) to (batch, 2 channels)."""
        scores = self.outer(torch.tanh(self.inner(features)))
        weights = torch.softmax(scores - 1e4 * (1.0 - mask), dim=-1)
        mean = (weights * features).sum(dim=-1)
        variance = (weights * (features - mean[:, :, None]) ** 2).sum(dim=-1)
        return torch.cat([mean, torch.sqrt(variance + 1e-4)], dim=-1)


class AttentiveStudent(StudentNetwork):
    """A student whose frames are pooled by attentive statistics, then an embedding and classes."""

    def add_head(self, channels: int, attention: int) -> None:
        """Build pooling, embedding and classifier for frames of so many channels; last, after the layers below."""
        self.pool = AttentiveStatistics(channels, attention)
        self.pool_norm = nn.BatchNorm1d(2 * channels)
        self.dropout = nn.Dropout(self.arguments.dropout)
        self.embedding = nn.Linear(2 * channels, self.arguments.embedding)
        self.classifier = nn.Linear(self.arguments.embedding, self.classes)

    def answer(self, features: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """Map frames (batch, channels, frames) under mask (batch, 1, frames) to what a student says."""
        # Sums over time in full precision, whatever the layers were trained in.
        pooled = self.dropout(self.pool_norm(self.pool(features.float(), mask.float())))
        embedding = torch.relu(self.embedding(pooled))
        return self.said(self.classifier(embedding), embedding)


def demand_odd(key: str, value: int) -> None:
    """Refuse a kernel without a middle.

    Raises:
        RecipeError: it is even, or not positive
    """
    demand(value >= 1 and value % 2 == 1, f"student.arguments.{key}", "odd and positive", value)


def strided(counts: Tensor, stride: int) -> Tensor:
    """Frames left after a padded convolution or pooling of odd kernel with this stride."""
    return counts if stride == 1 else torch.div(counts + stride - 1, stride, rounding_mode="floor")
