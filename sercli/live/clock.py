"""When samples were there: the time of every frame, and samples that never came."""

from __future__ import annotations

from collections import deque

LATEST_BLOCKS = 2_048  # remembered; blocks of 25 ms fill 50 s, more than the ring holds
SPAN_SECONDS = 5.0  # a delay that lasts so long is no delay
TOLERANCE_SECONDS = 0.1  # two clocks may run apart by 1000 ppm and more, which is 5 ms a span


class Arrivals:
    """Says when a frame was captured, by the clock of the block that brought it.

    `add` is called by the driver's thread, `time` by the reader.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._blocks: deque[tuple[int, float]] = deque(maxlen=LATEST_BLOCKS)
        self._last = (0, 0.0)

    def add(self, end: int, now: float) -> None:
        """Note that the frames before `end` are there, at monotonic time `now`."""
        self._blocks.append((end, now))

    def time(self, seconds: float) -> float:
        """Monotonic time of the frame so many seconds after the first; times are asked for in growing order."""
        frame = seconds * self._rate
        while self._blocks:
            self._last = self._blocks[0]
            if self._last[0] >= frame:
                break
            self._blocks.popleft()
        end, now = self._last
        return now - max(end - frame, 0.0) / self._rate


class LossMeter:
    """Finds samples that the driver lost without a word, by counting what came against the clock.

    A late block makes the count lag behind for a moment, a lost one for ever: so the least lag of every few seconds
    is compared with that of the span before. The two clocks' drift is too small to matter from one span to the next.
    """

    def __init__(self) -> None:
        self._begin: float | None = None  # of this span
        self._least = float("inf")  # lag in this span
        self._before: float | None = None  # least lag of the span before

    def see(self, seconds: float, now: float) -> float:
        """Compare once.

        Args:
            seconds: of audio that came so far
            now: monotonic time at which the last of it came

        Returns:
            seconds found lost, 0 nearly always
        """
        if self._begin is None:
            self._begin = now
        self._least = min(self._least, now - seconds)
        if now - self._begin < SPAN_SECONDS:
            return 0.0
        jump = 0.0 if self._before is None else self._least - self._before
        self._begin, self._before, self._least = now, self._least, float("inf")
        return jump if jump > TOLERANCE_SECONDS else 0.0
