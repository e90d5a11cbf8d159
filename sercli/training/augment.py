"""Augmentation of whole batches on the training device: gain, SpecAugment, band shift, mixup."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sercli.training.recipe import AugmentPart


class Augmentation(nn.Module):
    """Random changes to a batch of clips, in training only.

    Args:
        part: the recipe's augment section
    """

    def __init__(self, part: AugmentPart) -> None:
        super().__init__()
        self.part = part

    def waveform(self, waveform: Tensor) -> Tensor:
        """Change the loudness of clips, shape (batch, samples), each as a whole."""
        part, batch = self.part, waveform.shape[0]
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
            longest = torch.full((batch,), float(min(part.mel_width, mels - 1)), device=device)  # never all bands
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


def _keep(longest: Tensor, ends: Tensor, positions: int) -> Tensor:
    """Zero in one random run per row, one elsewhere; shape (batch, positions)."""
    width = torch.rand_like(longest) * longest
    start = torch.rand_like(longest) * (ends - width)
    position = torch.arange(positions, device=longest.device)[None, :]
    return 1.0 - ((position >= start[:, None]) & (position < (start + width)[:, None])).float()
