"""A student that is the lower end of a speech encoder: its convolutions and first layers, pooled by attention.

DistilHuBERT (Chang et al., ICASSP 2022, arXiv 2110.01900) begins so, from the encoder's own weights, and so does the
"distil wav2vec 2.0" of MLKD. Any encoder of `sercli.models.encoder` will do. The front end is the encoder's: log-mel
frames for Whisper, the samples themselves for all others, which are features of one band, that band augmentation leaves
alone. The norm above the encoder's last layer is left out, so that what is pooled is the encoder's own state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from sercli.errors import RecipeError, UsageError
from sercli.fields import demand
from sercli.models import whisper_encoder
from sercli.models.frontend import frame_mask
from sercli.models.student import AttentiveStudent, Stage, StudentArguments
from sercli.models.waveform_encoder import WaveformBackbone
from sercli.models.whisper_encoder import FRAME_SAMPLES, WhisperBackbone, WhisperLogMel, frame_counts

DEPTHS = (2, 3, 6)


@dataclass(frozen=True)
class DistilArguments(StudentArguments):
    """Which encoder, and how much of it."""

    encoder: str = ""
    """local folder, or Hub id such as `facebook/hubert-base-ls960`"""
    revision: str = ""
    """of a Hub id: best its full commit"""
    depth: int = 2
    """transformer layers: 2, 3 or 6"""
    convolutions: float = 0.1
    """factor of the gradient of the convolutions below those, as in DistilHuBERT; 0 = frozen"""
    attention: int = 64
    """hidden width of the attention that pools the frames"""
    trunk: Mapping[str, Any] = field(default_factory=dict)
    """what the encoder was; noted by the run, so that the student can be rebuilt without it"""

    def __post_init__(self) -> None:
        demand(self.depth in DEPTHS, "student.arguments.depth", "2, 3 or 6", self.depth)
        demand(0 <= self.convolutions <= 1, "student.arguments.convolutions", "from 0 to 1", self.convolutions)


class Distil(AttentiveStudent):
    """The first layers of an encoder as a student.

    Args:
        arguments: an encoder's name, whose weights it begins with; or with `trunk`, and random weights to be replaced
        classes: number of emotion classes

    Raises:
        RecipeError: no encoder, or one with fewer layers
        ModelNotFoundError, BundleError: as `load_encoder`
    """

    def __init__(self, arguments: DistilArguments, classes: int) -> None:
        backbone, trunk = _rebuilt(arguments) if arguments.trunk else _first_layers(arguments)
        whisper = isinstance(backbone, WhisperBackbone)
        frontend = WhisperFrames(backbone.model.config.num_mel_bins) if whisper else Samples()
        super().__init__(replace(arguments, trunk=trunk), classes, frontend)
        self.backbone = backbone
        self.backbone.requires_grad_(False)  # Whisper's positions are fixed
        for module in backbone.transformer:
            module.requires_grad_(True)
        if arguments.convolutions > 0:
            for module in backbone.convolutions:
                for weight in module.parameters():
                    scale_gradient(weight.requires_grad_(True), arguments.convolutions)
        self.add_head(backbone.width, arguments.attention)

    @property
    def stages(self) -> dict[str, int]:
        """Width of each layer's states, `layer0` below the first; `frames` is the last."""
        depth = len(self.backbone.layers)
        return {**{f"layer{number}": self.backbone.width for number in range(depth)}, "frames": self.backbone.width}

    def body(self, log_mel: Tensor, counts: Tensor, stages: dict[str, Stage] | None = None) -> dict[str, Tensor]:
        """Everything after the front end; see StudentNetwork.body.

        Args:
            log_mel: Whisper's frames, or samples of one band (batch, samples, 1)
            counts: frames or samples per clip, shape (batch,)
            stages: see StudentNetwork.body

        Raises:
            UsageError: a clip that is longer than Whisper's position table
        """
        if isinstance(self.backbone, WhisperBackbone):
            if not torch.compiler.is_exporting() and log_mel.shape[1] > 2 * self.backbone.most_frames:
                seconds = self.backbone.most_frames * FRAME_SAMPLES // 16_000
                raise UsageError(f"this student hears {seconds} s at once; lower export.clip_seconds")
            counts = torch.div(counts, 2, rounding_mode="floor")
            states = self.backbone.encode(log_mel.transpose(1, 2), counts)
        else:
            states, counts = self.backbone(log_mel[:, :, 0], counts)
        mask = frame_mask(counts, states[-1].shape[1])
        outside = mask[:, :, None] == 0
        states = tuple(state.float().masked_fill(outside, 0.0) for state in states)
        if stages is not None:
            stages.update({name: (state, counts) for name, state in zip(self.stages, states, strict=True)})
        return self.answer(states[-1].transpose(1, 2), mask[:, None])


def scale_gradient(weight: Tensor, factor: float) -> None:
    """Multiply the gradient of a weight before an optimiser sees it."""
    weight.register_hook(lambda gradient: factor * gradient)  # type: ignore[no-untyped-call]


class WhisperFrames(nn.Module):
    """Whisper's log-mel frames, two for each of the encoder's.

    Args:
        mels: mel bands
    """

    def __init__(self, mels: int) -> None:
        super().__init__()
        self.mels = mels
        self.log_mel = WhisperLogMel(mels)

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Make frames of clips; arguments and results as of `LogMel.forward`."""
        counts = frame_counts(lengths)
        if torch.compiler.is_exporting():  # sizes that depend on values have no place in a graph
            waveform = nn.functional.pad(waveform, (0, -waveform.shape[1] % FRAME_SAMPLES))
            return self.log_mel(waveform, 2 * counts).transpose(1, 2), 2 * counts
        samples = int(counts.max()) * FRAME_SAMPLES
        waveform = nn.functional.pad(waveform[:, :samples], (0, max(0, samples - waveform.shape[1])))
        return self.log_mel(waveform, 2 * counts).transpose(1, 2), 2 * counts


class Samples(nn.Module):
    """No front end: samples, as features of one band."""

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Pass clips on: shape (batch, samples) to (batch, samples, 1), and their lengths."""
        return waveform[:, :, None], lengths


def _first_layers(arguments: DistilArguments) -> tuple[WaveformBackbone | WhisperBackbone, dict[str, Any]]:
    """Take the lower end of a pretrained encoder, and note what it was."""
    from sercli.models.encoder import EncoderSource, load_encoder  # which imports the students

    if not arguments.encoder:
        raise RecipeError("student.arguments.encoder: name the encoder whose first layers the student is")
    encoder = load_encoder(EncoderSource(arguments.encoder, arguments.revision))
    if arguments.depth > encoder.layers:
        raise RecipeError(f"student.arguments.depth: {encoder.name} has {encoder.layers} layers, not {arguments.depth}")
    backbone, config = encoder.backbone, encoder.backbone.model.config
    key = "encoder_layers" if isinstance(backbone, WhisperBackbone) else "num_hidden_layers"
    setattr(config, key, arguments.depth)
    trunk = {
        "family": encoder.family,
        "sha256": encoder.sha256,
        "licence": encoder.licence,
        "standardised": isinstance(backbone, WaveformBackbone) and backbone.standardised,
        "config": json.loads(config.to_json_string(use_diff=True)),
    }
    return _shortened(backbone, arguments.depth), trunk


def _rebuilt(arguments: DistilArguments) -> tuple[WaveformBackbone | WhisperBackbone, dict[str, Any]]:
    """Build what `_first_layers` took, with random weights."""
    from transformers import AutoModel
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    trunk = dict(arguments.trunk)
    config: Any = CONFIG_MAPPING[trunk["family"]].from_dict(trunk["config"])
    backbone: WaveformBackbone | WhisperBackbone
    if trunk["family"] in whisper_encoder.FAMILIES:
        config._attn_implementation = "sdpa"
        backbone = WhisperBackbone(WhisperEncoder(config))
    else:
        models: Any = AutoModel
        backbone = WaveformBackbone(models.from_config(config), trunk["standardised"])
    return _shortened(backbone, arguments.depth), trunk


def _shortened(backbone: WaveformBackbone | WhisperBackbone, depth: int) -> WaveformBackbone | WhisperBackbone:
    """Leave so many layers, and no norm above the last."""
    holder = backbone.model if isinstance(backbone, WhisperBackbone) else backbone.model.encoder
    holder.layers = holder.layers[:depth]
    if backbone.final_norm:
        holder.layer_norm = nn.Identity()
    return backbone
