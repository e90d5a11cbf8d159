"""The log-mel front end: waveform in, normalised log-mel frames out, inside every student.

It is the only front end of the project: training, the ONNX graph and so every runtime use this code.
The mel filters are torchaudio's; the spectrum is a matrix product instead of an FFT, because a window
that is symmetric about its middle lets us fold each frame in two: the even half carries the cosines,
the odd half the sines, and the product costs half as much as a plain DFT. The power spectrum does not
depend on where the phase is measured from, so the phase origin is the middle of the window.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torchaudio.functional import melscale_fbanks

WINDOW_SAMPLES = 400  # 25 ms at 16 kHz: 201 bins, 40 Hz apart
HOP_SAMPLES = 160  # 10 ms at 16 kHz: 100 frames a second
POWER_FLOOR = 1e-8  # below the quantisation noise of 16-bit audio
DYNAMIC_RANGE_NEPERS = 5.0 * math.log(10.0)  # 50 dB below the loudest band of the clip, in ln(power): hides the room
ACTIVE_RANGE_NEPERS = 4.0 * math.log(10.0)  # frames 40 dB below the loudest frame count nothing in the statistics
VARIANCE_RIDGE = 1e-2  # a clip of one steady tone has hardly any variance: do not blow it up


def frame_counts(lengths: Tensor, window_samples: int = WINDOW_SAMPLES, hop_samples: int = HOP_SAMPLES) -> Tensor:
    """Count the frames whose whole window lies inside a clip.

    Args:
        lengths: clip lengths in samples, shape (batch,)
        window_samples: of a frame
        hop_samples: from one frame to the next

    Returns:
        frames per clip, shape (batch,), at least 1
    """
    return torch.clamp((lengths - window_samples) // hop_samples + 1, min=1)


def frame_mask(counts: Tensor, frames: int) -> Tensor:
    """Mark the frames that belong to each clip.

    Args:
        counts: frames per clip, shape (batch,)
        frames: frames of the padded batch

    Returns:
        1.0 inside a clip and 0.0 in its padding, shape (batch, frames)
    """
    return (torch.arange(frames, device=counts.device)[None, :] < counts[:, None]).float()


class LogMel(nn.Module):
    """Log-mel spectrogram, normalised over the sounding frames of each clip.

    Args:
        mels: mel bands (Slaney scale) between `low_hz` and `high_hz`
        low_hz: lower edge of the first band in Hz
        high_hz: upper edge of the last band in Hz
        per_band: subtract each band's own mean over time (removes the channel's colour)
            instead of one mean for the whole clip (keeps the spectrum's tilt)
        sample_rate: in Hz
        window_samples: of a frame, an even number; the longer, the finer its frequencies: 64 ms tell the harmonics of
            a low voice apart, 25 ms do not
        hop_samples: from one frame to the next
    """

    def __init__(
        self,
        mels: int = 64,
        low_hz: float = 50.0,
        high_hz: float = 7_800.0,
        per_band: bool = False,
        sample_rate: int = 16_000,
        window_samples: int = WINDOW_SAMPLES,
        hop_samples: int = HOP_SAMPLES,
    ) -> None:
        super().__init__()
        self.window_samples, self.hop_samples = window_samples, hop_samples
        self.mels = mels
        self.low_hz, self.high_hz = low_hz, high_hz
        self.per_band = per_band
        self.sample_rate = sample_rate
        half, bins = window_samples // 2, window_samples // 2 + 1
        # float64 and the exact integer phase (2n + 1 - window) k, so that the operator is good to float32's last bit
        steps = 2 * torch.arange(half, dtype=torch.float64) + 1 - window_samples
        phase = math.pi / window_samples * steps[:, None] * torch.arange(bins, dtype=torch.float64)[None, :]
        window = torch.hann_window(window_samples, periodic=False, dtype=torch.float64)[:half, None]
        self.register_buffer("cosines", (window * torch.cos(phase)).float(), persistent=False)
        self.register_buffer("sines", (window * torch.sin(phase)).float(), persistent=False)
        filters = melscale_fbanks(bins, low_hz, high_hz, mels, sample_rate, norm=None, mel_scale="slaney")
        self.register_buffer("filters", filters, persistent=False)
        self.cosines: Tensor
        self.sines: Tensor
        self.filters: Tensor

    @property
    def pieces(self) -> int:
        """Hops that a window touches."""
        return -(-self.window_samples // self.hop_samples)

    def power(self, waveform: Tensor) -> Tensor:
        """Mel power per frame.

        Args:
            waveform: mono 16 kHz, shape (batch, samples), at least one window

        Returns:
            power, shape (batch, frames, mels), frames = (samples - window) // hop + 1
        """
        # Frames as slices of hops (400 = 160 + 160 + 80): views and one copy, where unfold would gather.
        size, pieces = self.hop_samples, self.pieces
        padded = nn.functional.pad(waveform, (0, pieces * size - self.window_samples))
        hops = padded.shape[1] // size
        hop = padded[:, : hops * size].reshape(-1, hops, size)
        parts = [hop[:, piece : hops - pieces + piece + 1] for piece in range(pieces)]
        parts[-1] = parts[-1][..., : self.window_samples - (pieces - 1) * size]
        frames = torch.cat(parts, dim=-1)
        half = self.window_samples // 2
        left, right = frames[..., :half], frames[..., half:].flip(-1)
        spectrum = ((left + right) @ self.cosines) ** 2 + ((left - right) @ self.sines) ** 2
        return spectrum @ self.filters

    def forward(self, waveform: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised log-mel frames and their count.

        Args:
            waveform: mono 16 kHz, zero-padded on the right, shape (batch, samples)
            lengths: true lengths in samples, shape (batch,)

        Returns:
            log-mel, shape (batch, frames, mels), zero in the padding; frames per clip, shape (batch,)
        """
        power = self.power(waveform)
        counts = frame_counts(lengths, self.window_samples, self.hop_samples)
        mask = frame_mask(counts, power.shape[1])[:, :, None]
        log_mel = torch.log(power + POWER_FLOOR)
        loudest = torch.where(mask > 0, log_mel, math.log(POWER_FLOOR)).amax(dim=(1, 2), keepdim=True)
        log_mel = torch.maximum(log_mel, loudest - DYNAMIC_RANGE_NEPERS)
        level = torch.log(power.sum(dim=2, keepdim=True) + POWER_FLOOR)
        loudest_frame = torch.where(mask > 0, level, math.log(POWER_FLOOR)).amax(dim=1, keepdim=True)
        # Silence must not move the mean: a clip with long pauses looks like the same speech without them.
        activity = torch.clamp(1.0 + (level - loudest_frame) / ACTIVE_RANGE_NEPERS, 0.0, 1.0) * mask
        return self._normalise(log_mel, activity) * mask, counts

    def _normalise(self, log_mel: Tensor, activity: Tensor) -> Tensor:
        frames = activity.sum(dim=1, keepdim=True)  # at least 1: the loudest frame
        mean = (log_mel * activity).sum(dim=1, keepdim=True) / frames
        if not self.per_band:
            mean = mean.mean(dim=2, keepdim=True)
        centred = log_mel - mean
        variance = (activity * centred**2).sum(dim=(1, 2), keepdim=True) / (frames * self.mels)
        return centred / torch.sqrt(variance + VARIANCE_RIDGE)
