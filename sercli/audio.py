"""Any file libsndfile reads, standard input or raw PCM, as mono float32 at 16 kHz.

    path ─┐
    pipe ─┼─ opened() ─ Recording.blocks() ─ mono ─ soxr ─ float32 blocks at 16 kHz
    PCM  ─┘

Everything is read in blocks, so a three-hour file needs no more memory than a short one, and reading a
file at once is the same blocks put together. libsndfile goes by content, never by the file's name.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from sercli.errors import AudioError, SercliError, UsageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Signal = NDArray[np.float32]

SAMPLE_RATE = 16_000  # Hz, of everything after this module
STDIN = "-"
BLOCK_SECONDS = 30.0  # read at once
BLOCK_VALUES = 2**21  # most samples x channels read at once: 8 MB of float32
SPOOL_BYTES = 16 * 2**20  # a longer pipe is kept in a temporary file, not in memory
LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz; outside it is a damaged header, not speech
STREAMED_BYTES = 0x7FFF_0000  # programs that write WAV to a pipe put a size of this order: "until the end"
MPEG_SLACK_FRAMES = 2 * 1_152  # encoder delay and padding an MP3 header may count differently

PCM_TYPES: dict[str, tuple[str, float]] = {
    "u8": ("u1", 128.0),
    "s8": ("i1", 128.0),
    "s16le": ("<i2", 2.0**15),
    "s16be": (">i2", 2.0**15),
    "s24le": ("<i3", 2.0**23),
    "s24be": (">i3", 2.0**23),
    "s32le": ("<i4", 2.0**31),
    "s32be": (">i4", 2.0**31),
    "f32le": ("<f4", 1.0),
    "f32be": (">f4", 1.0),
}
"""Sample format of raw PCM (ffmpeg's names) to its numpy type and its full scale."""

_SHORT_CHUNK = re.compile(r"^\s*(?:data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", re.MULTILINE)
_UNFINISHED_OGG = "Last page lacks an end-of-stream bit"


@dataclass(frozen=True)
class RawFormat:
    """What headerless PCM looks like."""

    rate: int
    """sample rate in Hz"""
    dtype: str = "s16le"
    """sample format, a key of PCM_TYPES"""
    channels: int = 1
    """interleaved channels"""

    def __post_init__(self) -> None:
        if self.dtype not in PCM_TYPES:
            raise UsageError(f"unknown PCM type {self.dtype!r}; choose one of {', '.join(PCM_TYPES)}")
        if not LOWEST_RATE <= self.rate <= HIGHEST_RATE:
            raise UsageError(f"rate of raw PCM must be {LOWEST_RATE} to {HIGHEST_RATE} Hz, not {self.rate}")
        if self.channels < 1:
            raise UsageError(f"raw PCM needs at least 1 channel, not {self.channels}")


@dataclass(frozen=True)
class Recording:
    """One open input."""

    name: str
    """for messages"""
    seconds: float | None
    """length its header states, None where only reading to the end tells"""
    rate: int
    """native sample rate in Hz"""
    frames: Iterable[Signal]
    """native blocks, shape (frames, channels)"""

    def blocks(self) -> Iterator[Signal]:
        """Yield mono float32 blocks at 16 kHz, shape (samples,), of about BLOCK_SECONDS; can be used once.

        Raises:
            AudioError: no samples, damaged or truncated data, NaN or infinite samples
        """
        empty = True
        for block in _at_16_khz(_mono(self.frames, self.name), self.rate):
            if len(block):
                empty = False
                yield block
        if empty:
            raise AudioError(f"{self.name}: no audio samples; record or copy it again")


def read_audio(path: str | os.PathLike[str]) -> Signal:
    """Read a whole audio file.

    Args:
        path: any file libsndfile reads (wav, flac, ogg/opus, mp3, aiff ...), any rate and channel count;
            "-" is such a file on standard input

    Returns:
        mono float32 at 16 kHz, shape (samples,); channels are averaged

    Raises:
        AudioError: missing, unreadable, empty, truncated or not audio
    """
    return np.concatenate(list(blocks(path)))


def blocks(path: str | os.PathLike[str], block_seconds: float = BLOCK_SECONDS) -> Iterator[Signal]:
    """Read an audio file block by block, at constant memory.

    Args:
        path: as in `read_audio`
        block_seconds: about how much to read at once

    Yields:
        mono float32 at 16 kHz, shape (samples,)

    Raises:
        AudioError: as in `read_audio`; a damaged file may yield its sound part first
    """
    with opened(path, block_seconds=block_seconds) as recording:
        yield from recording.blocks()


@contextmanager
def opened(
    path: str | os.PathLike[str], raw: RawFormat | None = None, block_seconds: float = BLOCK_SECONDS
) -> Iterator[Recording]:
    """Open a file, or standard input for "-", for reading in blocks.

    Args:
        path: a file, a pipe, or "-"
        raw: headerless PCM of this format; without it the content says what it is
        block_seconds: about how much to read at once

    Raises:
        AudioError: it cannot be opened as audio
    """
    name = os.fspath(path)
    with ExitStack() as stack:
        stream = _stream(name, stack)
        if raw is not None:
            yield Recording(name, None, raw.rate, _pcm_frames(stream, raw, name, block_seconds))
            return
        sound = stack.enter_context(_sound(_seekable(stream, name, stack), name))
        known = sound.frames < 2**48  # FLAC from a pipe states no length; libsndfile then says 2**63 - 1
        seconds = sound.frames / sound.samplerate if known else None
        yield Recording(name, seconds, sound.samplerate, _sound_frames(sound, name, block_seconds, known))


def is_url(name: str) -> bool:
    """Tell a URL (s3://bucket/a.flac) from a path."""
    return "://" in name


def _remote(url: str, stack: ExitStack) -> IO[bytes]:
    """Copy what a URL names, in memory or, if long, into a temporary file: a decoder seeks too much for a network."""
    import fsspec

    spool = stack.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES))  # noqa: SIM115
    try:
        with fsspec.open(url, "rb") as stream:
            while piece := stream.read(2**20):
                spool.write(piece)
    except FileNotFoundError:
        raise AudioError(f"{url}: no such file; check the URL") from None
    except Exception as problem:  # each file system raises the errors of its own client
        raise AudioError(f"{url}: cannot be read ({problem}); check the URL, rights and network") from None
    if spool.tell() == 0:
        raise AudioError(f"{url}: empty file (0 bytes); copy it there again")
    spool.seek(0)
    return cast(IO[bytes], spool)


def _stream(name: str, stack: ExitStack) -> IO[bytes]:
    """Open the bytes of an input, with the operating system's own reason if that fails."""
    if name == STDIN:
        return sys.stdin.buffer
    if is_url(name):
        return _remote(name, stack)
    try:
        stream = stack.enter_context(Path(name).open("rb"))  # noqa: SIM115
    except FileNotFoundError:
        raise AudioError(f"{name}: no such file; check the path") from None
    except IsADirectoryError:
        raise AudioError(f"{name}: a folder, not a file; name an audio file") from None
    except PermissionError:
        raise AudioError(f"{name}: permission denied; make it readable (chmod u+r)") from None
    except (OSError, ValueError) as problem:
        raise AudioError(f"{name}: cannot open ({getattr(problem, 'strerror', None) or problem})") from None
    mode = os.fstat(stream.fileno()).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISFIFO(mode)):
        raise AudioError(f"{name}: neither a file nor a pipe; name an audio file")
    return stream


def _seekable(stream: IO[bytes], name: str, stack: ExitStack) -> IO[bytes]:
    """Return the stream itself if it is a file, else a copy in memory or, if long, in a temporary file."""
    if is_url(name):
        return stream
    try:
        status = os.fstat(stream.fileno())
    except io.UnsupportedOperation:
        status = None
    if status is not None and stat.S_ISREG(status.st_mode):
        if status.st_size == 0:
            raise AudioError(f"{name}: empty file (0 bytes); record or copy it again")
        return stream
    spool = stack.enter_context(tempfile.SpooledTemporaryFile(SPOOL_BYTES))  # noqa: SIM115
    try:
        while piece := stream.read(2**20):
            spool.write(piece)
    except OSError as problem:
        raise AudioError(f"{name}: cannot keep a copy of the pipe ({problem.strerror}); set TMPDIR") from None
    if spool.tell() == 0:
        raise AudioError(f"{name}: empty input (0 bytes); pipe an audio file into it")
    spool.seek(0)
    return spool


@cache
def _sound_class() -> Any:
    """Return libsndfile's reader; imported when first needed, since raw PCM does without it."""
    try:
        import soundfile
    except OSError as problem:
        raise SercliError(f"libsndfile cannot be loaded ({problem}); apt install libsndfile1") from None

    class Sound(soundfile.SoundFile):  # type: ignore[misc]
        def seekable(self) -> bool:
            # soundfile seeks to where it is after every read. libsndfile 1.2.2 then decodes Opus wrongly,
            # so that a file read in blocks differs from the same file read at once.
            return False

    return Sound


@contextmanager
def _sound(stream: IO[bytes], name: str) -> Iterator[Any]:
    """Open a seekable stream with libsndfile."""
    opener = _sound_class()
    from soundfile import LibsndfileError

    # A descriptor instead of the path: errors of the system are told apart, and no extension means anything.
    source = stream.fileno() if isinstance(stream, io.BufferedReader) else stream
    try:
        sound = opener(source, closefd=False) if isinstance(source, int) else opener(source)
    except LibsndfileError as problem:
        reason = problem.error_string.strip().rstrip(".")
        raise AudioError(f"{name}: not readable as audio ({reason}); convert it: ffmpeg -i IN out.wav") from None
    with sound:
        if not LOWEST_RATE <= sound.samplerate <= HIGHEST_RATE:
            raise AudioError(f"{name}: sample rate of {sound.samplerate} Hz; the header is damaged")
        if _cut_short(sound):
            raise AudioError(f"{name}: truncated, its header promises more audio; copy it again")
        if sound.frames == 0:
            raise AudioError(f"{name}: no audio samples; record or copy it again")
        yield sound


def _cut_short(sound: Any) -> bool:
    """Tell from libsndfile's log of the headers if the file ends before its audio does."""
    log = sound.extra_info
    if _UNFINISHED_OGG in log:
        return True
    sizes = [(int(promised), int(present)) for promised, present in _SHORT_CHUNK.findall(log)]
    return any(present < promised < STREAMED_BYTES for promised, present in sizes)


def _sound_frames(sound: Any, name: str, block_seconds: float, known: bool) -> Iterator[Signal]:
    """Decode native blocks of shape (frames, channels)."""
    from soundfile import LibsndfileError

    step = _block_frames(sound.samplerate, sound.channels, block_seconds)
    step = min(step, sound.frames + 1) if known else step  # soundfile allocates all it is asked for
    slack = MPEG_SLACK_FRAMES if sound.format == "MP3" else 0
    read = 0
    try:
        while len(block := sound.read(step, dtype="float32", always_2d=True)):
            read += len(block)
            yield block
    except LibsndfileError as problem:
        reason = problem.error_string.strip().rstrip(".")
        raise AudioError(f"{name}: damaged or truncated audio ({reason}); copy it again") from None
    if known and read + slack < sound.frames:
        missing = (sound.frames - read) / sound.samplerate
        raise AudioError(f"{name}: truncated, the last {missing:.3f} s are missing; copy it again")


def _pcm_frames(stream: IO[bytes] | BinaryIO, raw: RawFormat, name: str, block_seconds: float) -> Iterator[Signal]:
    """Turn raw PCM into native blocks of shape (frames, channels), full scale 1."""
    dtype, scale = PCM_TYPES[raw.dtype]
    width = int(dtype[-1])
    frame_bytes = width * raw.channels
    step = frame_bytes * _block_frames(raw.rate, raw.channels, block_seconds)
    while data := stream.read(step):
        rest = len(data) % frame_bytes
        if rest:
            raise AudioError(
                f"{name}: raw PCM ends inside a frame of {frame_bytes} bytes; check --dtype and --channels"
            )
        if width == 3:
            # No 3-byte integers in numpy: put each into the upper bytes of a 4-byte one.
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            three = np.frombuffer(data, np.uint8).reshape(-1, 3)
            wide[:, 1:] = three if dtype[0] == "<" else three[:, ::-1]
            values = wide.view("<i4")[:, 0].astype(np.float32) / np.float32(scale * 256.0)
        else:
            values = np.frombuffer(data, dtype).astype(np.float32)
            values = (values - np.float32(128.0 if raw.dtype == "u8" else 0.0)) / np.float32(scale)
        yield values.reshape(-1, raw.channels)


def _block_frames(rate: int, channels: int, block_seconds: float) -> int:
    return max(1, min(int(block_seconds * rate), BLOCK_VALUES // channels))


def _mono(frames: Iterable[Signal], name: str) -> Iterator[Signal]:
    """Average the channels of each block; refuse samples that are no numbers."""
    for block in frames:
        with np.errstate(over="ignore", invalid="ignore"):  # what is no number after it is refused below
            signal = block[:, 0] if block.shape[1] == 1 else block.mean(axis=1, dtype=np.float32)
        if not np.isfinite(signal).all():
            raise AudioError(f"{name}: contains NaN or infinite samples; export it again")
        yield np.ascontiguousarray(signal)


def _at_16_khz(signals: Iterable[Signal], rate: int) -> Iterator[Signal]:
    """Resample a stream of blocks; the result does not depend on where the blocks are cut."""
    if rate == SAMPLE_RATE:
        yield from signals
        return
    import soxr

    stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
    for signal in signals:
        yield stream.resample_chunk(signal)
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
