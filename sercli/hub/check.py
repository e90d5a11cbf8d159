"""Is a folder a bundle that may be shown to others? Asked before it is pushed or enters the zoo."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sercli.errors import BundleError
from sercli.hub.card import CARD
from sercli.hub.entry import LARGEST_FILE
from sercli.runtime.bundle import BUNDLE_FILES, ONNX_FILES, SAMPLE_RATE

LENGTH_BYTES = 8  # of the header's length, at the start of a safetensors file


def check_bundle(folder: Path) -> list[str]:
    """Refuse a bundle that is incomplete, leaves its folder, is too large or does not run.

    Returns:
        names of what else lies in the folder, which is no part of a bundle

    Raises:
        BundleError: what is wrong with which file
    """
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; `sercli export` writes one")
    if missing := [name for name in BUNDLE_FILES if name != CARD and not (folder / name).is_file()]:
        raise BundleError(f"{folder}: {', '.join(missing)} missing; export the student again")
    for name in BUNDLE_FILES:
        path = folder / name
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise BundleError(f"{path}: leads out of its folder, to {path.resolve()}; put the file itself there")
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            raise BundleError(f"{path}: larger than the {LARGEST_FILE / 1e6:.0f} MB a student may have")
    _check_safetensors(folder / "model.safetensors")
    _check_runs(folder)
    return sorted(path.name for path in folder.iterdir() if path.name not in BUNDLE_FILES)


def local_paths(recipe: object) -> list[str]:
    """Find the absolute paths in a recipe: they say how somebody's disk is laid out, and mean nothing elsewhere."""
    if isinstance(recipe, dict):
        return [path for value in recipe.values() for path in local_paths(value)]
    if isinstance(recipe, list):
        return [path for value in recipe for path in local_paths(value)]
    return [recipe] if isinstance(recipe, str) and (recipe.startswith(("/", "~")) or recipe[1:3] == ":\\") else []


def _check_runs(folder: Path) -> None:
    """Let both graphs hear two seconds of noise; `load` refuses what contradicts config.json."""
    from sercli.errors import AudioError
    from sercli.runtime.student import load

    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE).astype(np.float32)
    for precision in ("float32", "int8"):
        student = load(folder, precision=precision)
        try:
            student.predict(noise, SAMPLE_RATE)
        except AudioError as problem:
            raise BundleError(f"{folder / ONNX_FILES[precision]}: {problem}") from problem


def _check_safetensors(path: Path) -> None:
    """Check that the header describes the file to its end, without loading it."""
    content = path.read_bytes()
    try:
        length = int.from_bytes(content[:LENGTH_BYTES], "little")
        header = json.loads(content[LENGTH_BYTES : LENGTH_BYTES + length])
        ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
        whole = len(content) == LENGTH_BYTES + length + max(ends)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        whole = False
    if not whole:
        raise BundleError(f"{path}: not a whole safetensors file; export the student again")
