"""Speech through lossy codecs, encoded and decoded in memory by libsndfile."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sercli.audio import SAMPLE_RATE
from sercli.errors import UsageError

Signal = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Codec:
    """A codec as libsndfile writes it, for mono at 16 kHz."""

    container: str
    """libsndfile's major format."""
    subtype: str
    """libsndfile's encoding."""
    bitrate_mode: str | None
    """None where libsndfile offers no choice."""
    lowest: float
    """kbit/s at compression level 1."""
    highest: float
    """kbit/s at compression level 0; libsndfile goes linearly from one to the other."""
    delay_samples: int
    """By how much decoded audio lags where the file cannot tell the decoder so."""
    rates: tuple[int, ...]
    """kbit/s of the grid."""


CODECS: dict[str, Codec] = {
    # LAME's 576 samples and the decoder's 529. Below 40 kbit/s a frame is too small for the header that states
    # them, so nobody takes them off; measured constant rates are within 1 % of the nominal ones.
    "mp3": Codec("MP3", "MPEG_LAYER_III", "CONSTANT", 8.0, 160.0, 576 + 529, (16, 32)),
    # Every Opus file states its delay. The rate is the encoder's target: over 15 s of running speech files are 2 to
    # 9 % above it, container included; short clips add 2 kbit/s of container, pauses save (12 of 16 kbit/s in RAVDESS).
    "opus": Codec("OGG", "OPUS", None, 6.0, 256.0, 0, (8, 16)),
}


def transcode(signal: Signal, name: str, kbits: float) -> Signal:
    """Encode and decode a clip; it comes back in place and at its length.

    Args:
        signal: mono float32 at 16 kHz, shape (samples,); encoders clip what passes full scale
        name: key of CODECS
        kbits: nominal rate in kbit/s

    Raises:
        UsageError: the installed libsndfile cannot write this codec.
    """
    decoded = _decode(encode(signal, name, kbits))
    delay = CODECS[name].delay_samples
    return fit(decoded[delay:] if len(decoded) - len(signal) >= delay else decoded, len(signal))


def encode(signal: Signal, name: str, kbits: float) -> bytes:
    """Encode a clip as a file of that codec; arguments and errors as in `transcode`."""
    import soundfile

    codec = CODECS[name]
    level = (codec.highest - kbits) / (codec.highest - codec.lowest)
    try:
        return _encode(signal, SAMPLE_RATE, codec.container, codec.subtype, level, codec.bitrate_mode)
    except (soundfile.LibsndfileError, ValueError) as problem:
        raise UsageError(
            f"libsndfile {soundfile.__libsndfile_version__} cannot write {name} ({problem}); "
            f"leave {name} out, or install libsndfile 1.2 or later"
        ) from problem


def mu_law(signal: Signal, rate: int) -> Signal:
    """Quantise to the 8 bits of G.711 mu-law and back; full scale is 1, and what passes it is clipped."""
    return _decode(_encode(np.clip(signal, -1.0, 1.0), rate, "WAV", "ULAW"))


def fit(signal: Signal, samples: int) -> Signal:
    """Cut a signal at its end, or fill it up with zeros."""
    fitted = np.zeros(samples, np.float32)
    kept = signal[:samples]
    fitted[: len(kept)] = kept
    return fitted


def _encode(
    signal: Signal, rate: int, container: str, subtype: str, level: float | None = None, mode: str | None = None
) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    with soundfile.SoundFile(
        buffer, "w", rate, 1, subtype, format=container, compression_level=level, bitrate_mode=mode
    ) as file:
        file.write(signal)
    return buffer.getvalue()


def _decode(data: bytes) -> Signal:
    import soundfile

    with soundfile.SoundFile(io.BytesIO(data)) as file:
        # In one piece: soundfile seeks after every read, and libsndfile 1.2.2 then decodes Opus wrongly.
        decoded: Signal = file.read(dtype="float32")
    return decoded
