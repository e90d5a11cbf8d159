"""Optional installs: which packages a command needs beyond the base install, asked before it starts."""

from __future__ import annotations

from importlib.util import find_spec

from sercli.errors import MissingExtraError

EXTRAS = {
    "train": (
        "torch",
        "torchaudio",
        "transformers",
        "accelerate",
        "sklearn",
        "onnx",
        "onnxscript",
        "jinja2",
        "safetensors",
    ),
    "push": ("jinja2",),
    "scale": ("ray", "pyarrow"),
    "eval": ("matplotlib", "sklearn", "onnx"),
}
"""Extra to the packages that its commands import."""


def require(extra: str, command: str) -> None:
    """Stop with one line where an extra is not installed, not with a traceback halfway through a run.

    Args:
        extra: a key of EXTRAS
        command: what asks, for the message

    Raises:
        MissingExtraError: names the missing packages and what to install
    """
    missing = [name for name in EXTRAS[extra] if find_spec(name) is None]
    if missing:
        raise MissingExtraError(f'{command} needs {", ".join(missing)}; pip install "sercli[{extra}]"')
