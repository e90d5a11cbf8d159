"""A student's folder: which files it has, what its config.json says, and whether both can be trusted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from sercli.errors import BundleError
from sercli.nearest import nearest
from sercli.parsing import parse_json
from sercli.runtime.prediction import UNCERTAIN

FORMAT = 1  # of the bundle; a later sercli that changes the contract counts up
SAMPLE_RATE = 16_000  # Hz
LONGEST_SECONDS = 600  # of a window or block: one network call holds as much audio, also of a file that is shorter
CONFIG_FILE = "config.json"
ONNX_FILES = {"float32": "model.onnx", "int8": "model.int8.onnx"}
"""Precision to the graph that has it."""
BUNDLE_FILES = (
    CONFIG_FILE,
    "model.onnx",
    "model.int8.onnx",
    "model.safetensors",
    "README.md",
    "metrics.json",
    "recipe.yaml",
)
"""Every file of a complete bundle; labelling needs the first and one graph."""


@dataclass(frozen=True)
class BundleConfig:
    """What config.json says."""

    format: int
    """version of the bundle's layout"""
    name: str
    """name of the student, the first part of its model id"""
    architecture: str
    """family that can rebuild it in torch"""
    arguments: dict[str, Any]
    """sizes of that architecture"""
    sample_rate: int
    """of its input in Hz"""
    labels: tuple[str, ...]
    """classes in the order of the logits"""
    heads: dict[str, int]
    """output name to its width"""
    embedding_size: int
    """width of the embedding"""
    window_seconds: float
    """window of a timeline, unless asked otherwise"""
    hop_seconds: float
    """distance of a timeline's windows, unless asked otherwise"""
    clip_seconds: float
    """a longer file is cut into blocks of this length, whose probabilities are averaged by duration"""
    min_seconds: float
    """shorter audio is padded with zeros to this length"""
    temperature: float
    """calibration: probabilities are softmax(logits / temperature)"""
    abstain_threshold: float
    """a best score below it is "uncertain" """
    parameters: int
    """count of trained numbers"""
    sercli_version: str
    """version that wrote the bundle"""

    @classmethod
    def load(cls, folder: Path, check: Callable[[str, bytes], None] | None = None) -> BundleConfig:
        """Read and check the config.json of a bundle folder.

        Args:
            folder: of the bundle
            check: called with the file's name and content before anything is made of it

        Raises:
            BundleError: missing, not JSON, an unknown or missing key, or a bad value; names the key
        """
        path = folder / CONFIG_FILE
        try:
            content = path.read_bytes()
            if check is not None:
                check(CONFIG_FILE, content)
            values = parse_json(content)
        except FileNotFoundError:
            raise BundleError(f"{folder}: not a student bundle, it has no {CONFIG_FILE}; pull or export it") from None
        except OSError as problem:
            raise BundleError(f"{path}: cannot read ({problem.strerror}); check its rights") from None
        except ValueError as problem:
            raise BundleError(f"{path}: not valid JSON ({problem}); pull or export the student again") from None
        if not isinstance(values, dict):
            raise BundleError(f"{path}: must hold one JSON object; pull or export the student again")
        return cls.from_values(values, str(path))

    @classmethod
    def from_values(cls, values: Mapping[str, Any], where: str) -> BundleConfig:
        """Build from plain JSON values, checked; `where` opens the messages.

        Raises:
            BundleError: as in `load`
        """
        known = [field.name for field in fields(cls)]
        for key in values:
            if key not in known:
                hint = nearest(key, known) or "; a newer sercli may know it"
                raise BundleError(f"{where}: unknown key {key!r}{hint}")
        missing = [key for key in known if key not in values]
        if missing:
            raise BundleError(f"{where}: missing {', '.join(missing)}; export the student again")
        for key, (accepts, wish) in _CHECKS.items():
            if not accepts(values[key]):
                raise BundleError(f"{where}: {key} must be {wish}, not {values[key]!r}; export the student again")
        config = cls(**{**values, "labels": tuple(values["labels"])})
        if config.heads.get("logits") != len(config.labels):
            raise BundleError(
                f"{where}: heads.logits is {config.heads.get('logits')} but there are {len(config.labels)} labels; "
                "export the student again"
            )
        return config


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _is_duration(value: Any) -> bool:
    return _is_positive(value) and bool(value <= LONGEST_SECONDS)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()


def _are_labels(value: Any) -> bool:
    if not isinstance(value, list) or not all(map(_is_text, value)):
        return False
    return len(set(value)) == len(value) > 1 and UNCERTAIN not in value


_CHECKS: dict[str, tuple[Any, str]] = {
    "format": (lambda value: value == FORMAT, f"{FORMAT} for this sercli"),
    "name": (_is_text, "a name"),
    "architecture": (_is_text, "a name"),
    "arguments": (lambda value: isinstance(value, dict), "an object"),
    "sample_rate": (lambda value: value == SAMPLE_RATE, f"{SAMPLE_RATE}"),
    "labels": (_are_labels, "two or more different names other than 'uncertain'"),
    "heads": (lambda value: isinstance(value, dict) and all(map(_is_count, value.values())), "output name to width"),
    "embedding_size": (_is_count, "a positive whole number"),
    "window_seconds": (_is_duration, f"above 0 and at most {LONGEST_SECONDS}"),
    "hop_seconds": (_is_duration, f"above 0 and at most {LONGEST_SECONDS}"),
    "clip_seconds": (_is_duration, f"above 0 and at most {LONGEST_SECONDS}"),
    "min_seconds": (_is_duration, f"above 0 and at most {LONGEST_SECONDS}"),
    "temperature": (_is_positive, "a positive number"),
    "abstain_threshold": (lambda value: value == 0 or (_is_positive(value) and value <= 1), "between 0 and 1"),
    "parameters": (_is_count, "a positive whole number"),
    "sercli_version": (_is_text, "a version"),
}
"""Key to a test of its value and what to say if it fails."""
