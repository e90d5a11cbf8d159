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

WINDOW_SAMPLES = 400  # 25 ms at 16 kHz
HOP_SAMPLES = 160  # 10 ms at 16 kHz: 100 frames a second
BINS = WINDOW_SAMPLES // 2 + 1  # 201 bins, 40 Hz apart
POWER_FLOOR = 1e-8  # below the quantisation noise of 16-bit audio
DYNAMIC_RANGE_NEPERS = 5.0 * math.log(10.0)  # 50 dB below the loudest band of the clip, in ln(power): hides the room
ACTIVE_RANGE_NEPERS = 4.0 * math.log(10.0)  # frames 40 dB below the loudest frame count nothing in the statistics
VARIANCE_RIDGE = 1e-2  # a clip of one steady tone has hardly any variance: do not blow it up


def frame_counts(lengths: Tensor) -> Tensor:
    """Count the frames whose whole window lies inside a clip.

    Args:
        lengths: clip lengths in samples, shape (batch,)

    Returns:
        frames per clip, shape (batch,), at least 1
    """
    return torch.clamp((lengths - WINDOW_SAMPLES) // HOP_SAMPLES + 1, min=1)


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
        sample_rate: in Hz; window and hop are fixed at 25 and 10 ms of 16 kHz
    """

    def __init__(
        self,
        mels: int = 64,
        low_hz: float = 50.0,
        high_hz: float = 7_800.0,
        per_band: bool = False,
        sample_rate: int = 16_000,
    ) -> None:
        super().__init__()
        self.mels = mels
        self.low_hz, self.high_hz = low_hz, high_hz
        self.per_band = per_band
        self.sample_rate = sample_rate
        half = WINDOW_SAMPLES // 2
        # float64 and the exact integer phase (2n + 1 - window) k, so that the operator is good to float32's last bit
        steps = 2 * torch.arange(half, dtype=torch.float64) + 1 - WINDOW_SAMPLES
        phase = math.pi / WINDOW_SAMPLES * steps[:, None] * torch.arange(BINS, dtype=torch.float64)[None, :]
        window = torch.hann_window(WINDOW_SAMPLES, periodic=False, dtype=torch.float64)[:half, None]
        self.register_buffer("cosines", (window * torch.cos(phase)).float(), persistent=False)
        self.register_buffer("sines", (window * torch.sin(phase)).float(), persistent=False)
        filters = melscale_fbanks(BINS, low_hz, high_hz, mels, sample_rate, norm=None, mel_scale="slaney")
        self.register_buffer("filters", filters, persistent=False)
        self.cosines: Tensor
        self.sines: Tensor
        self.filters: Tensor

    def power(self, waveform: Tensor) -> Tensor:
        """Mel power per frame.

        Args:
            waveform: mono 16 kHz, shape (batch, samples), at least 400 samples

        Returns:
            power, shape (batch, frames, mels), frames = (samples - 400) // 160 + 1
        """
        # Frames as slices of hops (400 = 160 + 160 + 80): views and one copy, where unfold would gather.
        padded = nn.functional.pad(waveform, (0, 3 * HOP_SAMPLES - WINDOW_SAMPLES))
        hops = padded.shape[1] // HOP_SAMPLES
        hop = padded[:, : hops * HOP_SAMPLES].reshape(-1, hops, HOP_SAMPLES)
        frames = torch.cat([hop[:, :-2], hop[:, 1:-1], hop[:, 2:, : WINDOW_SAMPLES - 2 * HOP_SAMPLES]], dim=-1)
        half = WINDOW_SAMPLES // 2
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
        counts = frame_counts(lengths)
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
