"""The student architectures by name, and how a student is built, saved and counted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from sercli.errors import BundleError, RecipeError
from sercli.fields import from_dict
from sercli.models import cnn, conformer, crnn, distil, fmha, fusion, lightweight, tdnn
from sercli.models.student import StudentArguments, StudentNetwork
from sercli.nearest import nearest_or_all

Value = TypeVar("Value")

DEFAULT = "cnn-attention"


@dataclass(frozen=True)
class Architecture:
    """One way to build a student."""

    arguments: type[StudentArguments]
    """its sizes"""
    network: Callable[[Any, int], StudentNetwork]
    """builds it from arguments and number of classes"""
    sizes: Mapping[str, StudentArguments]
    """nano, micro and small; at most 50 k, 500 k and 4 M parameters. Empty where there is one size, or an encoder says
    how large it is"""


ARCHITECTURES: dict[str, Architecture] = {
    "cnn-attention": Architecture(cnn.CnnArguments, cnn.CnnAttention, cnn.SIZES),
    "tdnn": Architecture(tdnn.TdnnArguments, tdnn.Tdnn, tdnn.SIZES),
    "conformer": Architecture(conformer.ConformerArguments, conformer.Conformer, conformer.SIZES),
    "crnn": Architecture(crnn.CrnnArguments, crnn.Crnn, crnn.SIZES),
    "cnn-fmha": Architecture(fmha.FmhaArguments, fmha.CnnFmha, fmha.SIZES),
    "distil": Architecture(distil.DistilArguments, distil.Distil, {}),
    "audio-text": Architecture(fusion.FusedArguments, fusion.FusedStudent, {}),
    "cnn6": Architecture(lightweight.Cnn6Arguments, lightweight.Cnn6, {}),
    "vgg15": Architecture(lightweight.Vgg15Arguments, lightweight.Vgg15, {}),
    "resnet9": Architecture(lightweight.Resnet9Arguments, lightweight.Resnet9, {}),
    "mobilenet15": Architecture(lightweight.Mobilenet15Arguments, lightweight.Mobilenet15, {}),
}
"""Name in recipes and bundles to the architecture."""


def arguments_from(values: Mapping[str, Any], size: str | None = None, architecture: str = DEFAULT) -> StudentArguments:
    """Build a student's arguments from plain values, on top of a named size.

    Raises:
        RecipeError: an unknown architecture, size or argument, with the nearest name
    """
    kind = _chosen(ARCHITECTURES, "architecture", architecture)
    base = kind.arguments() if size is None or not kind.sizes else _chosen(kind.sizes, "size", size)
    return from_dict(kind.arguments, {**arguments_dict(base), **values}, "student.arguments.")


def _chosen(known: Mapping[str, Value], key: str, name: str) -> Value:
    if name not in known:
        raise RecipeError(f"student.{key}: no {key} {name!r}; {nearest_or_all(name, known)}")
    return known[name]


def build(arguments: StudentArguments, classes: int) -> StudentNetwork:
    """Build an untrained student of the architecture whose arguments these are; `distil` begins with its encoder."""
    (kind,) = (kind for kind in ARCHITECTURES.values() if kind.arguments is type(arguments))
    return kind.network(arguments, classes)


def arguments_dict(arguments: StudentArguments) -> dict[str, Any]:
    """Arguments as JSON values."""
    return {name: _plain(value) for name, value in asdict(arguments).items()}


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def parameter_count(model: nn.Module) -> int:
    """Count the trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def load_weights(model: nn.Module, path: Path, but: Sequence[str] = ()) -> None:
    """Load safetensors weights into a model, refusing missing, unexpected and misshapen ones.

    Args:
        model: of the weights' architecture and sizes
        path: safetensors file
        but: parts to leave as they are: `classifier`, because the weights are for other classes, or `rater`

    Raises:
        BundleError: the weights are not this model's
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as problem:
        raise BundleError(f"{path}: cannot read the weights ({problem}); export or pull the student again") from problem
    if but:
        own = {key: value for key, value in model.state_dict().items() if _is_of(key, but)}
        weights = {**{key: value for key, value in weights.items() if not _is_of(key, but)}, **own}
    try:
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except RuntimeError as problem:
        raise BundleError(f"{path}: weights of another shape ({str(problem).splitlines()[-1].strip()})") from problem
    if missing or unexpected:
        what = ", ".join([f"missing {key}" for key in missing[:3]] + [f"unexpected {key}" for key in unexpected[:3]])
        raise BundleError(f"{path}: not the weights of this architecture ({what}); export or pull the student again")


def _is_of(key: str, parts: Sequence[str]) -> bool:
    return not set(parts).isdisjoint(key.split("."))


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's weights as safetensors."""
    from safetensors.torch import save_file

    save_file({key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}, path)
