"""Hops as text: JSON lines, plain lines for terminals that cannot do better, and the summary at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sercli.runtime.rows import six_decimals

if TYPE_CHECKING:
    from sercli.live.session import Hop


def json_line(hop: Hop) -> str:
    """Print a hop as one JSON object and a newline; what is not claimed is null or empty."""
    label = json.dumps(hop.label, ensure_ascii=False) if hop.label else "null"
    smoothed = six_decimals(hop.smoothed) if hop.smoothed else {}
    score = smoothed.get(hop.label, max(smoothed.values(), key=float, default="null"))
    parts = [
        f'"time": "{hop.time.isoformat(timespec="milliseconds").replace("+00:00", "Z")}"',
        f'"start": {hop.start:.3f}',
        f'"end": {hop.end:.3f}',
        f'"speech": {"true" if hop.speech else "false"}',
        f'"label": {label}',
        f'"score": {score}',
        f'"scores": {_object(six_decimals(hop.scores)) if hop.scores else "{}"}',
        f'"smoothed": {_object(smoothed)}',
        *(f'"{name}": {value:.6f}' for name, value in hop.dimensions.items()),
        f'"level_db": {hop.level_db:.1f}',
        f'"latency_ms": {hop.latency_ms:.1f}',
    ]
    return "{" + ", ".join(parts) + "}\n"


def _object(values: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(key, ensure_ascii=False)}: {value}" for key, value in values.items()) + "}"


class PlainLines:
    """One line when a label begins or ends: a readout that any terminal, log or screen reader can show."""

    def __init__(self) -> None:
        self._label = ""

    def line(self, hop: Hop) -> str:
        """Text of a hop: a line, or nothing as long as the label stays."""
        if hop.label == self._label:
            return ""
        self._label = hop.label
        what = f"{hop.label} {hop.score:.2f}" if hop.label else "no speech"
        more = "".join(f"  {name} {value:.2f}" for name, value in hop.dimensions.items())
        return f"{clock(hop.end)}  {what}{more}\n"


class Summary:
    """Adds up how long each label stood.

    Args:
        hop_seconds: what a hop stands for
    """

    def __init__(self, hop_seconds: float) -> None:
        self._hop_seconds = hop_seconds
        self._hops: Counter[str] = Counter()

    def count(self, hop: Hop) -> None:
        """Add a hop."""
        self._hops[hop.label] += 1

    def text(self, seconds: float, lost_seconds: float = 0.0) -> str:
        """Say it in a line, the longest first.

        Args:
            seconds: of audio that were heard
            lost_seconds: of audio that were not
        """
        told = {label: hops * self._hop_seconds for label, hops in self._hops.most_common() if label}
        parts = [f"{label} {length:.1f} s" for label, length in told.items()]
        parts.append(f"nothing claimed {max(seconds - sum(told.values()), 0.0):.1f} s")
        lost = f"; {lost_seconds:.1f} s of input were lost" if lost_seconds else ""
        return f"{clock(seconds)} heard: {', '.join(parts)}{lost}"


def clock(seconds: float) -> str:
    """Print a time as 0:01:23.5."""
    tenths = round(seconds * 10)
    return f"{tenths // 36_000}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}"
