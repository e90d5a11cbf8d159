"""Speech emotion recognition that runs anywhere.

    import sercli

    student = sercli.load("micro")
    audio, sample_rate = sercli.read_audio("file.wav"), 16_000
    print(student.predict(audio, sample_rate).label)

The names of `__all__` are the public interface; they are imported when first used, so that
`import sercli` costs nothing. Everything else may change between releases.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sercli.audio import read_audio
    from sercli.errors import SercliError
    from sercli.live.session import Hop
    from sercli.live.stream import stream
    from sercli.runtime.prediction import Prediction
    from sercli.runtime.student import Student, load

    __version__: str

__all__ = ["Hop", "Prediction", "SercliError", "Student", "__version__", "load", "read_audio", "stream"]

_HOMES = {
    "Hop": "sercli.live.session",
    "Prediction": "sercli.runtime.prediction",
    "SercliError": "sercli.errors",
    "Student": "sercli.runtime.student",
    "load": "sercli.runtime.student",
    "read_audio": "sercli.audio",
    "stream": "sercli.live.stream",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("sercli")
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'sercli' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
