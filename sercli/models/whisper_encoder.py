"""Whisper's encoder on the clip's true length (Radford et al. 2022).

Whisper was trained on 30 s of padded audio, and transformers runs it so: a clip of 3 s costs ten times its length.
Its positions are fixed sinusoids, so the first frames of a clip can be encoded alone with the first rows of the
position table; what is lost is the attention to the silence after the clip.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from torchaudio.functional import melscale_fbanks

from sercli.audio import SAMPLE_RATE
from sercli.models import pretrained
from sercli.models.frontend import HOP_SAMPLES, WINDOW_SAMPLES, frame_mask

FAMILIES = ("whisper",)
FRAME_SAMPLES = 2 * HOP_SAMPLES  # 20 ms: two mel frames of 10 ms to a frame of the encoder
POWER_FLOOR = 1e-10
DYNAMIC_RANGE = 8.0  # log10(power) below the loudest band: 80 dB


def frame_counts(lengths: Tensor) -> Tensor:
    """Frames of the encoder for clips of these lengths in samples: whole ones, and at least 1."""
    return torch.div(lengths + FRAME_SAMPLES - 1, FRAME_SAMPLES, rounding_mode="floor").clamp(min=1)


class WhisperLogMel(nn.Module):
    """Log-mel frames as Whisper's feature extractor makes them, clamped by each clip's own loudest band.

    Args:
        mels: mel bands
    """

    def __init__(self, mels: int) -> None:
        super().__init__()
        bins = WINDOW_SAMPLES // 2 + 1
        filters = melscale_fbanks(bins, 0.0, SAMPLE_RATE / 2, mels, SAMPLE_RATE, norm="slaney", mel_scale="slaney")
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(WINDOW_SAMPLES), persistent=False)
        self.filters: Tensor
        self.window: Tensor

    def forward(self, waveform: Tensor, frames: Tensor) -> Tensor:
        """Make log-mel frames.

        Args:
            waveform: zero after each clip's end, shape (batch, samples), samples a multiple of 320
            frames: mel frames per clip, shape (batch,)

        Returns:
            shape (batch, mels, samples / 160), zero after each clip's last frame
        """
        half = WINDOW_SAMPLES // 2
        # Mirrored at the start as Whisper does, zeros at the end: what its 30 s of padding put there.
        padded = nn.functional.pad(waveform[:, None], (half, 0), mode="reflect")[:, 0]
        padded = nn.functional.pad(padded, (0, half - HOP_SAMPLES))
        log_mel = torch.log10((self.filters.T @ self.power(padded)).clamp(min=POWER_FLOOR))
        mask = frame_mask(frames, log_mel.shape[2])[:, None]
        loudest = log_mel.masked_fill(mask == 0, -torch.inf).amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(log_mel, loudest - DYNAMIC_RANGE) + 4.0) / 4.0 * mask

    def power(self, waveform: Tensor) -> Tensor:
        """Power spectrum of windowed frames, shape (batch, samples) to (batch, bins, frames)."""
        if not torch.compiler.is_exporting():
            spectrum = torch.stft(
                waveform, WINDOW_SAMPLES, HOP_SAMPLES, window=self.window, center=False, return_complex=True
            )
            return spectrum.abs() ** 2
        # A graph of ONNX has no good transform: the same as a convolution with windowed cosines and sines.
        steps = torch.arange(WINDOW_SAMPLES, dtype=torch.float64)
        phase = (
            torch.arange(WINDOW_SAMPLES // 2 + 1)[:, None] * steps % WINDOW_SAMPLES * (2.0 * math.pi / WINDOW_SAMPLES)
        )
        waves = (torch.cat([phase.cos(), phase.sin()]) * self.window.double()).float()
        parts = nn.functional.conv1d(waveform[:, None], waves[:, None], stride=HOP_SAMPLES).square()
        return parts[:, : len(phase)] + parts[:, len(phase) :]


class WhisperBackbone(nn.Module):
    """Whisper's encoder: clips padded with zeros to whole frames of 20 ms, and no further.

    A clip longer than the position table (30 s) is cut into equal pieces that fit it; each is encoded like a clip
    of its own, and their frames are put together again.

    Args:
        model: transformers' `WhisperEncoder`
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model: Any = model
        config = model.config
        self.width: int = config.d_model
        self.frame_rate = SAMPLE_RATE / FRAME_SAMPLES
        self.most_frames: int = config.max_source_positions
        self.log_mel = WhisperLogMel(config.num_mel_bins)

    @property
    def layers(self) -> nn.ModuleList:
        """Transformer layers, lowest first."""
        layers = self.model.layers
        assert isinstance(layers, nn.ModuleList)
        return layers

    @property
    def convolutions(self) -> tuple[nn.Module, ...]:
        """What turns mel frames into frames of the encoder."""
        return self.model.conv1, self.model.conv2

    @property
    def transformer(self) -> tuple[nn.Module, ...]:
        """Everything above the convolutions but the positions, which are fixed."""
        return self.model.layers, self.model.layer_norm

    @property
    def final_norm(self) -> tuple[nn.Module, ...]:
        """The norm above the last layer."""
        return (self.model.layer_norm,)

    def forward(self, waveform: Tensor, lengths: Tensor, stop: int | None = None) -> tuple[tuple[Tensor, ...], Tensor]:
        """Encode clips.

        Args:
            waveform: mono 16 kHz, zero after each clip's end, shape (batch, samples)
            lengths: true lengths in samples, shape (batch,)
            stop: run so many layers only, without the norm above them

        Returns:
            states of layers 0 to `stop`, or all, each (batch, frames, width), undefined after a clip's end; frames per
            clip (batch,)
        """
        counts = frame_counts(lengths)
        waveform = nn.functional.pad(waveform, (0, max(0, int(counts.max()) * FRAME_SAMPLES - waveform.shape[1])))
        if int(counts.max()) <= self.most_frames:
            return self._run(waveform, counts, stop), counts
        cuts = [_pieces(count, self.most_frames) for count in counts.tolist()]
        pieces = [
            clip[first * FRAME_SAMPLES : end * FRAME_SAMPLES]
            for clip, cut in zip(waveform, cuts, strict=True)
            for first, end in cut
        ]
        sizes = [end - first for cut in cuts for first, end in cut]
        states = self._run(pad_sequence(pieces, batch_first=True), torch.tensor(sizes, device=counts.device), stop)
        return tuple(_joined(state, cuts) for state in states), counts

    def _run(self, waveform: Tensor, counts: Tensor, stop: int | None) -> tuple[Tensor, ...]:
        frames = int(counts.max())
        with torch.autocast(waveform.device.type, enabled=False):  # half precision ends at 65,504: too little for power
            log_mel = self.log_mel(waveform[:, : frames * FRAME_SAMPLES].float(), 2 * counts)
        return self._layers(self._embedded(log_mel, counts), counts, 0, stop)

    def _embedded(self, log_mel: Tensor, counts: Tensor) -> Tensor:
        """Turn mel frames into the first layer's input, shape (batch, mels, 2 frames) to (batch, frames, width)."""
        frames = log_mel.shape[2] // 2
        hidden = nn.functional.gelu(self.model.conv1(log_mel))
        hidden = hidden * frame_mask(2 * counts, 2 * frames)[:, None]  # alone, a clip has zeros after its end here too
        hidden = nn.functional.gelu(self.model.conv2(hidden)).transpose(1, 2)
        embedded: Tensor = hidden + self.model.embed_positions.weight[:frames]
        return embedded

    def encode(self, log_mel: Tensor, counts: Tensor) -> tuple[Tensor, ...]:
        """Run everything above the front end.

        Args:
            log_mel: as of `WhisperLogMel`, two frames to one of the encoder, shape (batch, mels, 2 frames)
            counts: frames of the encoder per clip, shape (batch,)

        Returns:
            layers + 1 states, each (batch, frames, width), undefined after a clip's end
        """
        return self._layers(self._embedded(log_mel, counts), counts, 0)

    def below(self, waveform: Tensor, lengths: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Encode clips up to a layer; arguments as of `forward`.

        Args:
            waveform: clips
            lengths: in samples
            layer: number of layers to run

        Returns:
            its states (batch, frames, width), undefined after a clip's end; frames per clip (batch,)
        """
        states, counts = self.forward(waveform, lengths, layer)
        return states[layer], counts

    def above(self, state: Tensor, counts: Tensor, layer: int) -> tuple[Tensor, ...]:
        """Go on above a layer, where `below` stopped.

        Args:
            state: of that layer, shape (batch, frames, width)
            counts: frames per clip, shape (batch,)
            layer: its number

        Returns:
            its states and those of every layer above, as of `forward`
        """
        if int(counts.max()) <= self.most_frames:
            return self._layers(state, counts, layer)
        cuts = [_pieces(count, self.most_frames) for count in counts.tolist()]
        pieces = [clip[first:end] for clip, cut in zip(state, cuts, strict=True) for first, end in cut]
        sizes = torch.tensor([len(piece) for piece in pieces], device=counts.device)
        states = self._layers(pad_sequence(pieces, batch_first=True), sizes, layer)
        return tuple(_joined(one, cuts) for one in states)

    def _layers(self, state: Tensor, counts: Tensor, first: int, stop: int | None = None) -> tuple[Tensor, ...]:
        frames = state.shape[1]
        padded = torch.compiler.is_exporting() or int(counts.min()) < frames
        inside = frame_mask(counts, frames)[:, None, None].bool() if padded else None
        states = [state]
        for layer in self.layers[first:stop]:
            states.append(layer(states[-1], inside))
        if stop is None:
            states[-1] = self.model.layer_norm(states[-1])
        return tuple(states)


def load_whisper_encoder(files: pretrained.Pretrained, config: Any) -> WhisperBackbone:
    """Load the encoder of a Whisper checkpoint: the whole model's, with or without its head, or the encoder alone.

    Raises:
        BundleError: no weights that fit
    """
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config._attn_implementation = "sdpa"  # takes the mask as truth values, whatever the precision
    return WhisperBackbone(pretrained.load(WhisperEncoder, files, config, {r"^(model\.)?encoder\.": ""}))


def _pieces(frames: int, most: int) -> list[tuple[int, int]]:
    """Cut a clip into the fewest pieces of at most `most` frames, equal but for the last: (first frame, end)."""
    step = math.ceil(frames / math.ceil(frames / most))
    return [(first, min(first + step, frames)) for first in range(0, frames, step)]


def _joined(state: Tensor, cuts: list[list[tuple[int, int]]]) -> Tensor:
    """Put the frames of pieces (pieces, frames, width) together to those of clips (batch, frames, width)."""
    rows = iter(state)
    return pad_sequence(
        [torch.cat([next(rows)[: end - first] for first, end in cut]) for cut in cuts], batch_first=True
    )
