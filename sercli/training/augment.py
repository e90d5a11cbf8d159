"""Augmentation of whole batches on the training device: gain, noise, SpecAugment, band shift, mixup."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from sercli.audio import SAMPLE_RATE
from sercli.models.frontend import frame_mask
from sercli.training.recipe import AugmentPart


class Augmentation(nn.Module):
    """Random changes to a batch of clips, in training only.

    Args:
        part: the recipe's augment section
    """

    def __init__(self, part: AugmentPart) -> None:
        super().__init__()
        self.part = part
        recordings = _recordings(Path(part.noise_folder)) if part.noise_folder else torch.empty(0)
        self.register_buffer("recordings", recordings, persistent=False)
        self.recordings: Tensor

    def waveform(self, waveform: Tensor, lengths: Tensor) -> Tensor:
        """Change loudness and add noise.

        Args:
            waveform: shape (batch, samples), zero in the padding
            lengths: true lengths in samples, shape (batch,)

        Returns:
            same shape, zero in the padding
        """
        part, batch = self.part, waveform.shape[0]
        chosen = torch.nonzero(torch.rand(batch, device=waveform.device) < part.noise_probability)[:, 0]
        if len(chosen):
            clean, spans = waveform[chosen], lengths[chosen]
            noise = self._noise(clean.shape, waveform.device) * frame_mask(spans, waveform.shape[1])
            snr_db = torch.empty(len(chosen), 1, device=waveform.device).uniform_(*part.noise_snr_db)
            waveform = waveform.index_copy(0, chosen, mix(clean, noise, spans, snr_db))
        if part.gain_db > 0:
            gain_db = torch.empty(batch, 1, device=waveform.device).uniform_(-part.gain_db, part.gain_db)
            waveform = waveform * 10.0 ** (gain_db / 20.0)
        return waveform

    def features(self, log_mel: Tensor, counts: Tensor) -> Tensor:
        """Shift bands, then hide runs of frames and bands (SpecAugment, Park et al. 2019).

        Args:
            log_mel: zero-mean frames, shape (batch, frames, mels)
            counts: frames per clip, shape (batch,)

        Returns:
            same shape; hidden values are zero, the clip's mean
        """
        part, (batch, frames, mels), device = self.part, log_mel.shape, log_mel.device
        if part.mel_shift > 0:
            shift = torch.randint(-part.mel_shift, part.mel_shift + 1, (batch, 1), device=device)
            bands = (torch.arange(mels, device=device)[None, :] - shift).clamp(0, mels - 1)
            log_mel = log_mel.gather(2, bands[:, None, :].expand(-1, frames, -1))
        for _ in range(part.time_masks):
            longest = (counts * part.time_width).float()
            log_mel = log_mel * _keep(longest, counts.float(), frames)[:, :, None]
        for _ in range(part.mel_masks):
            longest = torch.full((batch,), float(part.mel_width), device=device)
            log_mel = log_mel * _keep(longest, torch.full_like(longest, float(mels)), mels)[:, None, :]
        return log_mel

    def mixup(self, log_mel: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor, float]:
        """Blend each clip with another of the batch (Zhang et al. 2018).

        Returns:
            features, frame counts, the partners' places in the batch, and the share of the clip itself
        """
        part, batch = self.part, log_mel.shape[0]
        order = torch.arange(batch, device=log_mel.device)
        if part.mixup_alpha <= 0 or float(torch.rand(())) >= part.mixup_probability:
            return log_mel, counts, order, 1.0
        share = float(torch.distributions.Beta(part.mixup_alpha, part.mixup_alpha).sample())
        share = max(share, 1.0 - share)
        order = torch.randperm(batch, device=log_mel.device)
        mixed = share * log_mel + (1.0 - share) * log_mel[order]
        return mixed, torch.maximum(counts, counts[order]), order, share

    def _noise(self, shape: torch.Size, device: torch.device) -> Tensor:
        if len(self.recordings):
            batch, samples = shape
            starts = torch.randint(0, len(self.recordings), (batch, 1), device=device)
            return self.recordings[(starts + torch.arange(samples, device=device)) % len(self.recordings)]
        white = torch.randn(shape, device=device)
        spectrum = torch.fft.rfft(white)
        # Power falling with frequency to a random exponent: 0 is white, 1 pink, 2 brown.
        exponent = 2.0 * torch.rand(shape[0], 1, device=device)
        falling = torch.arange(1, spectrum.shape[1] + 1, device=device) ** (-exponent / 2.0)
        coloured: Tensor = torch.fft.irfft(spectrum * falling, n=shape[1])
        return coloured


def mix(clean: Tensor, noise: Tensor, lengths: Tensor, snr_db: Tensor) -> Tensor:
    """Add noise at a signal-to-noise ratio; powers are mean squares over the clip.

    Args:
        clean: shape (batch, samples), zero in the padding
        noise: the same shape, zero in the padding
        lengths: true lengths in samples, shape (batch,)
        snr_db: shape (batch, 1)
    """
    samples = lengths[:, None].clamp(min=1)
    clean_power = (clean**2).sum(dim=1, keepdim=True) / samples
    noise_power = (noise**2).sum(dim=1, keepdim=True) / samples
    scale = torch.sqrt(clean_power / (noise_power + 1e-12) * 10.0 ** (-snr_db / 10.0))
    return clean + scale * noise


def _keep(longest: Tensor, ends: Tensor, positions: int) -> Tensor:
    """Zero in one random run per row, one elsewhere; shape (batch, positions)."""
    width = torch.rand_like(longest) * longest
    start = torch.rand_like(longest) * (ends - width)
    position = torch.arange(positions, device=longest.device)[None, :]
    return 1.0 - ((position >= start[:, None]) & (position < (start + width)[:, None])).float()


def _recordings(folder: Path) -> Tensor:
    from sercli.audio import read_audio
    from sercli.errors import RecipeError

    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in {".wav", ".flac", ".ogg", ".opus"})
    if not files:
        raise RecipeError(f"augment.noise_folder: no wav, flac or ogg recordings in {folder}")
    clips = [torch.from_numpy(read_audio(str(path))) for path in files]
    # Recordings differ in level and some are padded with digital silence: bring the sounding part to unit power.
    clips = [clip / (clip[clip != 0].std() + 1e-9) for clip in clips if int((clip != 0).sum()) > SAMPLE_RATE // 10]
    if not clips:
        raise RecipeError(f"augment.noise_folder: every recording in {folder} is silent or shorter than 0.1 s")
    return torch.cat(clips)
