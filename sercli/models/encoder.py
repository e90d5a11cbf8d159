"""Large pretrained speech encoders as frozen or trainable feature extractors, the lower part of every teacher.

wav2vec 2.0, HuBERT, WavLM, data2vec-audio, UniSpeech, UniSpeech-SAT and Whisper, all behind one call: samples in, the
states of every layer out. A clip's states never depend on the clips beside it or on the padding after it.
Whisper learned from transcribed speech (supervised); the others from speech alone, unless they were fine-tuned after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from sercli.errors import BundleError, RecipeError, first_line
from sercli.models import pretrained, waveform_encoder, whisper_encoder
from sercli.models.frontend import frame_mask
from sercli.models.students import parameter_count
from sercli.models.waveform_encoder import WaveformBackbone
from sercli.models.whisper_encoder import WhisperBackbone

FAMILIES = (*waveform_encoder.FAMILIES, *whisper_encoder.FAMILIES)


@dataclass(frozen=True)
class EncoderSource:
    """Where an encoder comes from."""

    name: str
    """local folder, or Hub id such as `facebook/hubert-base-ls960`"""
    revision: str = ""
    """of a Hub id: best its full commit; a branch or tag is resolved to the commit it names now. Empty for a folder"""


@dataclass(frozen=True)
class Encoded:
    """What an encoder makes of a batch."""

    states: tuple[Tensor, ...]
    """input of the first layer, then each layer's output, the last after the model's final norm where it has one; each
    float32 (batch, frames, width), zero after a clip's last frame"""
    counts: Tensor
    """frames per clip, int64 (batch,), at least 1"""


class Encoder(nn.Module):
    """A pretrained speech encoder, frozen until `unfreeze` says otherwise.

    Args:
        backbone: the model
        name: as asked for
        revision: full commit on the Hub; empty for a folder
        family: one of `FAMILIES`
        licence: as its card says; empty if it does not
    """

    def __init__(
        self, backbone: WaveformBackbone | WhisperBackbone, name: str, revision: str, family: str, licence: str
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.name = name
        self.revision = revision
        self.family = family
        self.licence = licence
        self.layers = len(backbone.layers)
        self.width = backbone.width
        self.frame_rate = backbone.frame_rate  # frames a second
        self.parameter_count = parameter_count(backbone)
        self.sha256 = pretrained.weights_sha256(backbone.model)  # of the weights as they were loaded
        self.cut = self.layers
        """layers below the lowest that is trained"""
        self._trained: tuple[nn.Module, ...] = ()
        self.freeze()

    def freeze(self) -> None:
        """Train nothing: no gradients and no dropout, also after `train()`."""
        self.unfreeze(0)

    def unfreeze(self, top_layers: int, convolutions: bool = False) -> None:
        """Choose what is trained; the rest keeps its weights and stays in evaluation mode, also after `train()`.

        LayerDrop and SpecAugment stay off: the states of all layers are wanted, and masking is augmentation.

        Args:
            top_layers: transformer layers from the top, with the norm above them; 0 for none, -1 for everything but
                the convolutions that make the frames
            convolutions: train those too; only with -1

        Raises:
            RecipeError: more layers than the model has
        """
        if not -1 <= top_layers <= self.layers:
            raise RecipeError(f"{self.name}: cannot train the top {top_layers} of {self.layers} layers; -1 trains all")
        if convolutions and top_layers != -1:
            raise RecipeError(f"{self.name}: training the convolutions needs all layers above them trained (-1)")
        if top_layers == -1:
            self._trained = self.backbone.transformer + (self.backbone.convolutions if convolutions else ())
        elif top_layers:
            self._trained = (*self.backbone.layers[-top_layers:], *self.backbone.final_norm)
        else:
            self._trained = ()
        self.cut = 0 if top_layers == -1 else self.layers - top_layers
        self.requires_grad_(False)
        for module in self._trained:
            module.requires_grad_(True)
        self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Switch the trained part to training mode; the frozen part stays in evaluation mode."""
        super().train(False)
        self.training = mode
        for module in self._trained:
            module.train(mode)
        return self

    def forward(self, waveform: Tensor, lengths: Tensor) -> Encoded:
        """Encode a batch of clips.

        A clip too short for one frame (400 samples with wav2vec 2.0, 320 with Whisper) is padded with zeros to one.
        Whisper cuts clips of more than 30 s into equal pieces.

        Args:
            waveform: mono float32 at 16 kHz, zero-padded on the right, shape (batch, samples)
            lengths: true lengths in samples, int64 (batch,)
        """
        return _encoded(*self.backbone(*_clean(waveform, lengths)))

    def below(self, waveform: Tensor, lengths: Tensor) -> Encoded:
        """Encode a batch of clips up to the first trained layer; arguments as of `forward`.

        Returns:
            a single state: the input of that layer, which is all that the layers above need
        """
        state, counts = self.backbone.below(*_clean(waveform, lengths), self.cut)
        return _encoded((state,), counts)

    def above(self, state: Tensor, counts: Tensor) -> Encoded:
        """Go on where `below` stopped; both together are `forward`.

        Args:
            state: what `below` gives, or what a cache has kept of it, shape (batch, frames, width)
            counts: frames per clip, int64 (batch,)

        Returns:
            that state and those of the trained layers
        """
        counts = counts.to(state.device)
        return _encoded(self.backbone.above(state[:, : int(counts.max())], counts, self.cut), counts)


def _clean(waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Leave nothing after a clip's end."""
    lengths = lengths.to(waveform.device)
    waveform = waveform[:, : int(lengths.max())]
    return waveform * frame_mask(lengths, waveform.shape[1]), lengths


def _encoded(states: tuple[Tensor, ...], counts: Tensor) -> Encoded:
    frames = int(counts.max())
    outside = frame_mask(counts, frames)[:, :, None] == 0
    return Encoded(tuple(state[:, :frames].float().masked_fill(outside, 0.0) for state in states), counts)


def load_encoder(source: EncoderSource, *, device: str | torch.device = "cpu") -> Encoder:
    """Load a speech encoder, frozen, in float32.

    A Hub id is downloaded once and then taken from the Hub's cache; with HF_HUB_OFFLINE set, only from there.

    Args:
        source: Hub id with revision, or folder
        device: where it runs

    Raises:
        ModelNotFoundError: no such folder, id or revision, or no network
        RecipeError: a Hub id without a revision
        BundleError: not a speech encoder, or weights that are missing, damaged, pickled or of another shape
    """
    from huggingface_hub.errors import StrictDataclassError
    from transformers import AutoConfig

    files = pretrained.find(source.name, source.revision)
    family = files.settings.get("model_type")
    if family not in FAMILIES:
        kind = f"a {family!r} model" if family else "without a model_type"
        raise BundleError(f"{source.name}: {kind}, not a speech encoder; choose one of {', '.join(FAMILIES)}")
    try:
        config: Any = AutoConfig.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, TypeError, KeyError, StrictDataclassError) as problem:
        reason = first_line(problem)
        raise BundleError(f"{files.folder / 'config.json'}: not a configuration of {family} ({reason})") from problem
    backbone = (
        whisper_encoder.load_whisper_encoder(files, config)
        if family in whisper_encoder.FAMILIES
        else waveform_encoder.load_waveform_model(files, config)
    )
    return Encoder(backbone, source.name, files.revision, family, files.licence).to(device)
