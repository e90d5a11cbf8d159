"""wav2vec 2.0 and the encoders built like it: strided convolutions over the samples, then a transformer.

Baevski et al. 2020; HuBERT (Hsu et al. 2021), WavLM (Chen et al. 2022), data2vec (Baevski et al. 2022) and
UniSpeech(-SAT) (Wang et al. 2021, Chen et al. 2022) share the shape and differ in how they were trained.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sercli.audio import SAMPLE_RATE
from sercli.errors import BundleError, first_line
from sercli.models import pretrained
from sercli.models.frontend import frame_mask

FAMILIES = ("wav2vec2", "hubert", "wavlm", "data2vec-audio", "unispeech", "unispeech-sat")
VARIANCE_RIDGE = 1e-7  # of the feature extractor these models were trained with


def standardise(waveform: Tensor, lengths: Tensor) -> Tensor:
    """Give each clip zero mean and unit variance over its own samples, zero in the padding.

    Args:
        waveform: shape (batch, samples)
        lengths: true lengths in samples, shape (batch,)
    """
    mask = frame_mask(lengths, waveform.shape[1])
    samples = lengths.clamp(min=1)[:, None]
    centred = (waveform - (waveform * mask).sum(dim=1, keepdim=True) / samples) * mask
    return centred / torch.sqrt((centred**2).sum(dim=1, keepdim=True) / samples + VARIANCE_RIDGE)


class WaveformBackbone(nn.Module):
    """A transformers model of one of `FAMILIES`, run so that a clip's states do not depend on its batch.

    An attention mask alone keeps neighbours apart only where nothing else looks along time. It does not where the
    first convolution's group norm takes its statistics over the whole padded clip (wav2vec2-base, hubert-base,
    wavlm-base: trained without a mask), nor where stacked positional convolutions (data2vec) or a batch norm before
    them (some HuBERTs) turn the zeros after a clip's end into something else. There, clips of equal length run together
    and clips of different lengths one after the other.

    Args:
        model: transformers' model of one of `FAMILIES`, without a head
        standardised: whether the model expects zero mean and unit variance
    """

    def __init__(self, model: Any, standardised: bool) -> None:
        super().__init__()
        self.model: Any = model
        self.standardised = standardised
        config = model.config
        self.masked = (
            config.model_type != "data2vec-audio"
            and config.feat_extract_norm == "layer"
            and not getattr(config, "conv_pos_batch_norm", False)
        )
        self.width: int = config.hidden_size
        self.frame_rate = SAMPLE_RATE / math.prod(config.conv_stride)
        self.least_samples = 1  # the receptive field of one frame
        for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
            self.least_samples = (self.least_samples - 1) * stride + kernel

    @property
    def layers(self) -> nn.ModuleList:
        """Transformer layers, lowest first."""
        layers = self.model.encoder.layers
        assert isinstance(layers, nn.ModuleList)
        return layers

    @property
    def convolutions(self) -> tuple[nn.Module, ...]:
        """What turns samples into frames."""
        return (self.model.feature_extractor,)

    @property
    def transformer(self) -> tuple[nn.Module, ...]:
        """Everything above the convolutions."""
        return self.model.feature_projection, self.model.encoder

    @property
    def final_norm(self) -> tuple[nn.Module, ...]:
        """The norm above the last layer; models with norms after each layer have none (theirs is below the first)."""
        return (self.model.encoder.layer_norm,) if getattr(self.model.config, "do_stable_layer_norm", False) else ()

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[tuple[Tensor, ...], Tensor]:
        """Encode clips.

        Args:
            waveform: mono 16 kHz, zero after each clip's end, shape (batch, samples)
            lengths: true lengths in samples, shape (batch,)

        Returns:
            layers + 1 states, each (batch, frames, width), undefined after a clip's end; frames per clip (batch,)
        """
        if self.standardised:
            waveform = standardise(waveform, lengths)
        lengths = lengths.clamp(min=self.least_samples)
        waveform = nn.functional.pad(waveform, (0, max(0, int(lengths.max()) - waveform.shape[1])))
        counts: Tensor = self.model._get_feat_extract_output_lengths(lengths)
        sizes = sorted(set(lengths.tolist()))
        if len(sizes) == 1:
            return self._run(waveform[:, : sizes[0]]), counts
        if self.masked:
            return self._run(waveform, frame_mask(lengths, waveform.shape[1]).long()), counts
        shape = (len(waveform), int(counts.max()), self.width)
        states = tuple(waveform.new_zeros(shape) for _ in range(len(self.layers) + 1))
        for size in sizes:
            rows = lengths == size
            for state, part in zip(states, self._run(waveform[rows, :size]), strict=True):
                state[rows, : part.shape[1]] = part.to(state.dtype)
        return states, counts

    def below(self, waveform: Tensor, lengths: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Encode clips up to a layer; arguments as of `forward`.

        Args:
            waveform: clips
            lengths: in samples
            layer: number of layers to run

        Returns:
            its states (batch, frames, width), undefined after a clip's end; frames per clip (batch,)
        """
        encoder, layers, norm = self.model.encoder, self.layers, self.final_norm
        encoder.layers = layers[:layer]
        if norm:
            encoder.layer_norm = nn.Identity()
        try:
            states, counts = self.forward(waveform, lengths)
        finally:
            encoder.layers = layers
            if norm:
                (encoder.layer_norm,) = norm
        return states[-1], counts

    def above(self, state: Tensor, counts: Tensor, layer: int) -> tuple[Tensor, ...]:
        """Go on above a layer, where `below` stopped.

        Args:
            state: of that layer, shape (batch, frames, width)
            counts: frames per clip, shape (batch,)
            layer: its number

        Returns:
            its states and those of every layer above, as of `forward`
        """
        inside = frame_mask(counts, state.shape[1])
        with_bias = self.model.config.model_type == "wavlm"  # one position bias, which the first layer owns
        lowest = torch.finfo(state.dtype).min
        mask = inside if with_bias else ((1.0 - inside) * lowest)[:, None, None].to(state.dtype)
        bias = self._position_bias(state) if with_bias else None
        states = [state]
        with _without_mask_warning():
            for one in self.layers[layer:]:
                if with_bias:
                    state, bias = one(state, attention_mask=mask, position_bias=bias)
                else:
                    state = one(state, attention_mask=mask)
                states.append(state)
        for norm in self.final_norm:
            states[-1] = norm(states[-1])
        return tuple(states)

    def _position_bias(self, state: Tensor) -> Tensor:
        """WavLM's, of all heads of all clips, shape (batch heads, frames, frames)."""
        frames = state.shape[1]
        bias: Tensor = self.layers[0].attention.compute_bias(frames, frames)  # type: ignore[operator, union-attr]
        return bias.repeat(len(state), 1, 1)

    def _run(self, waveform: Tensor, mask: Tensor | None = None) -> tuple[Tensor, ...]:
        with _without_mask_warning():
            output = self.model(waveform, attention_mask=mask, output_hidden_states=True)
        # Models with norms before each layer end in a norm; from transformers 5 on, hidden_states[-1] lacks it.
        return *output.hidden_states[:-1], output.last_hidden_state


@contextmanager
def _without_mask_warning() -> Iterator[None]:
    with warnings.catch_warnings():  # WavLM gives torch a mask of truth values beside its position bias
        warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask and attn_mask")
        yield


def load_waveform_model(files: pretrained.Pretrained, config: Any) -> WaveformBackbone:
    """Load a model of one of `FAMILIES` without its heads.

    Raises:
        BundleError: no weights that fit, or no word on whether the samples are to be standardised
    """
    from transformers import AutoFeatureExtractor, AutoModel

    extractors: Any = AutoFeatureExtractor
    try:
        extractor = extractors.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
        rate, standardised = int(extractor.sampling_rate), bool(extractor.do_normalize)
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as problem:
        raise BundleError(
            f"{files.folder}: no preprocessor_config.json with sampling_rate and do_normalize, so what input the model "
            f"wants is unknown ({first_line(problem)}); copy the file from the model it was trained from"
        ) from problem
    if rate != SAMPLE_RATE:
        raise BundleError(
            f"{files.folder}: a model for {rate} Hz; sercli works at {SAMPLE_RATE} Hz, choose another model"
        )
    # Every layer's state is wanted of every clip, and masking is the recipe's augmentation, not the encoder's.
    config.layerdrop = 0.0
    config.apply_spec_augment = False
    config.mask_time_prob = config.mask_feature_prob = 0.0  # so that there is no masked_spec_embed, which some lack
    config.add_adapter = False
    return WaveformBackbone(pretrained.load(AutoModel, files, config), standardised)
