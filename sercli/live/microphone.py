"""The microphone: the driver's thread fills a ring, the reader empties it and notices what is missing."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from sercli.errors import MicrophoneError
from sercli.live.clock import Arrivals, LossMeter
from sercli.live.devices import fault, find, portaudio, quiet
from sercli.live.ring import Ring
from sercli.live.stop import Stop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Frames = NDArray[np.float32]

BLOCK_SECONDS = 0.025  # asked of the driver; windows that end on tenths or quarters of a second end with a block
LATENCY_SECONDS = 0.1  # of the driver's own buffer
RING_SECONDS = 20.0  # how long the reader may be held up, by a disk or a pager, without losing anything
FIRST_PATIENCE_SECONDS = 10.0  # sound servers need up to 1.5 s for the first block
PATIENCE_SECONDS = 5.0  # without a block
WAKE_SECONDS = 0.25  # to look if the stream is still there, or was told to stop
MUTE_SECONDS = 3.0  # of nothing but zeros
READY = "ready"  # said with the first block: what is spoken from now on is heard
FILL_SECONDS = 1.0  # largest piece of silence in place of lost samples


class Microphone:
    """A source that listens.

    Args:
        device: as in `devices.find`
        channels: to open and average; None is 1, or 2 where the device does not do 1
        stop: asked, listening ends
        tell: takes messages for the user, each at most once

    Raises:
        MicrophoneError: there is none, or on entering: it cannot be opened
    """

    def __init__(
        self, device: str | int | None, channels: int | None, stop: Stop, tell: Callable[[str], object]
    ) -> None:
        self._device = find(device)
        most = self._device.channels
        if channels is not None and channels > most:
            raise MicrophoneError(f"{self._device.name}: has {most} channels, not {channels}; lower --channels")
        self.name = self._device.name
        self.rate = self._device.rate
        """Hz"""
        self.channels = channels or 1
        self.lost_seconds = 0.0
        """that never came, or were not fetched in time"""
        self._choices = [channels] if channels else list(dict.fromkeys((1, min(2, most))))
        self._stop = stop
        self._tell = tell
        self._told_loss = False
        self._ended = False  # set by the driver's thread, as is the next
        self._overflowed = False
        self._newest = (0, 0.0)  # frames, and when the last of them came
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._arrivals = Arrivals(self.rate)
        self._meter = LossMeter()

    def __enter__(self) -> Self:
        library = portaudio()
        for choice in self._choices:
            self.channels = choice
            self._ring = Ring(round(RING_SECONDS * self.rate), choice)
            try:
                with quiet(), ExitStack() as failed:
                    self._stream = library.InputStream(
                        device=self._device.index,
                        samplerate=self.rate,
                        channels=choice,
                        dtype="float32",
                        blocksize=round(BLOCK_SECONDS * self.rate),
                        latency=LATENCY_SECONDS,
                        callback=self._hear,
                        finished_callback=self._finish,
                    )
                    failed.callback(self._stream.close)
                    self._stream.start()
                    failed.pop_all()
            except library.PortAudioError as problem:
                if choice == self._choices[-1] or "channel" not in str(problem):
                    raise MicrophoneError(f"{self.name}: {fault(problem)}") from None
            else:
                break
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(portaudio().PortAudioError), quiet():  # an unplugged device may fail to close
            self._stream.close()

    def _hear(self, frames: Frames, _count: int, _time: Any, status: Any) -> None:
        """Take a block from the driver's thread, shape (frames, channels); waits for nothing and nobody."""
        self._ring.write(frames)
        self._newest = (self._ring.written, time.monotonic())
        self._arrivals.add(*self._newest)
        self._overflowed = self._overflowed or bool(status.input_overflow)
        if self._wake.empty():
            self._wake.put(None)

    def _finish(self) -> None:
        """Learn from the driver that no block will come any more."""
        self._ended = True
        self._wake.put(None)

    def frames(self) -> Iterator[Frames]:
        """Yield what comes, shape (frames, channels), until told to stop; zeros in place of what was not fetched.

        Raises:
            MicrophoneError: the device is gone
        """
        heard = 0
        last = time.monotonic()
        mute = True
        while not self._stop.asked:
            with suppress(queue.Empty):
                self._wake.get(timeout=WAKE_SECONDS)
            gone = self._gone()  # asked first: what came before is still heard
            lost, frames = self._ring.read()
            if lost or len(frames):
                if not heard:
                    self._tell(READY)
                self._count_losses(lost)
                yield from _zeros(lost, frames.shape[1], round(FILL_SECONDS * self.rate))
                heard += lost + len(frames)
                last = time.monotonic()
                mute = self._still_mute(mute, frames, heard)
                yield frames
            elif gone:
                raise MicrophoneError(f"{self.name}: the device is gone; plug it in, and start again")
            elif time.monotonic() - last > (PATIENCE_SECONDS if heard else FIRST_PATIENCE_SECONDS):
                more = "no sound comes any more" if heard else "no sound comes"
                raise MicrophoneError(f"{self.name}: {more}; check the device, or choose another with --device")

    def time(self, seconds: float) -> float:
        """Monotonic time at which the sample so many seconds after the first was there."""
        return self._arrivals.time(seconds)

    def _gone(self) -> bool:
        """Tell if the stream has ended; one whose device was pulled out may only say that it is broken."""
        try:
            return self._ended or not self._stream.active
        except portaudio().PortAudioError:
            return True

    def _count_losses(self, unfetched: int) -> None:
        """Add up what is missing, for whatever reason, and say so the first time."""
        count, when = self._newest
        self.lost_seconds += unfetched / self.rate + self._meter.see(count / self.rate, when)
        if (self.lost_seconds or self._overflowed) and not self._told_loss:
            self._told_loss = True
            self._tell(f"{self.name}: some input was lost; the machine is too busy, or the device fails")

    def _still_mute(self, mute: bool, frames: Frames, heard: int) -> bool:
        """Look at the first seconds only, for a system that gives zeros to whom it denies the microphone."""
        if not mute or frames.any():
            return False
        if heard < MUTE_SECONDS * self.rate:
            return True
        self._tell(f"{self.name}: only digital silence so far; is it muted, or are you not allowed to use it?")
        return False


def _zeros(count: int, channels: int, largest: int) -> Iterator[Frames]:
    """Yield silence of a given length in pieces."""
    while count > 0:
        piece = min(count, largest)
        yield np.zeros((piece, channels), np.float32)
        count -= piece
