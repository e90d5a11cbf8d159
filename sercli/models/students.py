"""The student family by size, and how a student is built, saved and counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from sercli.errors import BundleError, RecipeError
from sercli.models.cnn import CnnArguments, CnnAttention

ARCHITECTURE = "cnn-attention"

STUDENTS: dict[str, CnnArguments] = {
    # 40 k parameters
    "nano": CnnArguments(
        stem=16,
        blocks=((24, 2, 2), (32, 2, 1), (48, 2, 1), (48, 1, 1)),
        frame_channels=64,
        context=2,
        attention=32,
        embedding=48,
    ),
    # 0.24 M parameters
    "micro": CnnArguments(
        stem=32,
        blocks=((48, 2, 2), (48, 1, 1), (96, 2, 1), (96, 1, 1), (160, 2, 1)),
        frame_channels=160,
        context=2,
        attention=48,
        embedding=96,
    ),
    # 2.4 M parameters
    "small": CnnArguments(
        stem=64,
        blocks=((128, 2, 2), (128, 1, 1), (256, 2, 1), (256, 1, 1), (384, 2, 1), (384, 1, 1)),
        frame_channels=512,
        context=3,
        attention=128,
        embedding=256,
    ),
}
"""Size name to arguments; at most 50 k, 500 k and 4 M parameters."""


def arguments_from(values: Mapping[str, Any], size: str | None = None) -> CnnArguments:
    """Build a student's arguments from plain values, on top of a named size.

    Raises:
        RecipeError: an unknown size or argument, with the nearest name
    """
    if size is not None and size not in STUDENTS:
        near = get_close_matches(size, STUDENTS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(STUDENTS)}"
        raise RecipeError(f"student.size: no size {size!r}; {hint}")
    known = {field.name: type(field.default) for field in fields(CnnArguments)}
    for key, value in values.items():
        if key not in known:
            near = get_close_matches(str(key), known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            raise RecipeError(f"student.arguments: unknown key {key!r}{hint}")
        if key != "blocks" and type(value) is not known[key] and not (known[key] is float and type(value) is int):
            raise RecipeError(f"student.arguments.{key}: needs a value of type {known[key].__name__}, not {value!r}")
    clean = dict(values)
    if "blocks" in clean:
        try:
            clean["blocks"] = tuple((int(wide), int(band), int(frame)) for wide, band, frame in clean["blocks"])
        except (TypeError, ValueError) as problem:
            example = "[[24, 2, 2], [32, 2, 1]]: channels, stride over bands, stride over frames"
            raise RecipeError(f"student.arguments.blocks: write it as {example}") from problem
    return replace(STUDENTS[size] if size else CnnArguments(), **clean)


def build(arguments: CnnArguments, classes: int) -> CnnAttention:
    """Build an untrained student."""
    return CnnAttention(arguments, classes)


def arguments_dict(arguments: CnnArguments) -> dict[str, Any]:
    """Arguments as JSON values."""
    values = asdict(arguments)
    values["blocks"] = [list(block) for block in arguments.blocks]
    return values


def parameter_count(model: nn.Module) -> int:
    """Count the trainable parameters."""
    return sum(parameter.numel() for parameter in model.parameters())


def load_weights(model: nn.Module, path: Path) -> None:
    """Load safetensors weights into a model, refusing missing, unexpected and misshapen ones.

    Raises:
        BundleError: the weights are not this model's
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as problem:
        raise BundleError(f"{path}: cannot read the weights ({problem}); export or pull the student again") from problem
    try:
        missing, unexpected = model.load_state_dict(weights, strict=False)
    except RuntimeError as problem:
        raise BundleError(f"{path}: weights of another shape ({str(problem).splitlines()[-1].strip()})") from problem
    if missing or unexpected:
        what = ", ".join([f"missing {key}" for key in missing[:3]] + [f"unexpected {key}" for key in unexpected[:3]])
        raise BundleError(f"{path}: not the weights of this architecture ({what}); export or pull the student again")


def save_weights(model: nn.Module, path: Path) -> None:
    """Write a model's weights as safetensors."""
    from safetensors.torch import save_file

    save_file({key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}, path)
