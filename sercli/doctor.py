"""Is everything here that sercli needs? What `sercli doctor` tells, and with each fault the line that mends it.

Engines are imported inside the checks: whether they can be imported at all is what is asked.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module, metadata
from pathlib import Path
from typing import TYPE_CHECKING

from sercli.errors import SercliError

if TYPE_CHECKING:
    from packaging.requirements import Requirement

    from sercli.hub.inventory import Holding

MODULES = {"huggingface-hub": "huggingface_hub", "pyyaml": "yaml"}
"""Packages whose module has another name."""
LISTENING = "sounddevice"  # needs PortAudio when it is imported: a microphone's matter, not that of labelling
EXTRAS = {"eval": "eval --report", "push": "zoo push", "train": "train, distill, export", "scale": "labelling on Ray"}
"""Optional install to what it is for."""
REINSTALL = "pip install --force-reinstall sercli"
ANSWER_SECONDS = 10.0  # to wait for the Hub, where it is asked


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    found: str
    mend: str = ""
    """the line that mends it; empty where nothing needs mending"""
    needed: bool = True
    """nothing works without it, or what was set is wrong; else it is only missing"""

    @property
    def status(self) -> str:
        """`ok`, `missing` (needed for some commands only) or `broken`."""
        return "ok" if not self.mend else "broken" if self.needed else "missing"


def checks(online: bool = False) -> Iterator[Check]:
    """Look at everything, one thing after another; what raises is a broken thing, not the end.

    Args:
        online: ask the Hub whether it answers; nothing else touches the network
    """
    parts: dict[str, Callable[[], Iterator[Check]]] = {
        "sercli": _itself,
        "packages": _packages,
        "onnxruntime": _providers,
        "audio files": _audio_files,
        "students": _students,
        "microphone": _microphone,
        "training": _devices,
        "folders": _folders,
        "hub": lambda: _hub(online),
    }
    for name, look in parts.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of libraries at import; what matters is told here
                yield from look()
        except Exception as problem:
            found, mend = _told(problem)
            yield Check(name, found, mend)


def _told(problem: Exception) -> tuple[str, str]:
    """Part an error into what is wrong and what mends it; those of sercli say both."""
    text = " ".join(str(problem).split()) or type(problem).__name__
    what, _, mend = text.partition("; ") if isinstance(problem, SercliError) else (text, "", "")
    return what, mend or REINSTALL


def _itself() -> Iterator[Check]:
    cores = os.cpu_count() or 1
    place = Path(__file__).resolve().parent
    yield Check("sercli", f"{metadata.version('sercli')} in {place}")
    system = f"{platform.system()} {platform.machine()}, {cores} cores"
    yield Check("python", f"{platform.python_version()} ({sys.executable}), {system}")


def _packages() -> Iterator[Check]:
    """Are the packages of the base install there, in the versions asked for, and do they import?"""
    from packaging.requirements import Requirement

    wanted = [Requirement(text) for text in metadata.requires("sercli") or ()]
    base = [need for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    good = []
    for need in base:
        fault = _fault(need)
        if fault:
            yield Check(need.name, fault, f'pip install --force-reinstall "{need.name}{need.specifier}"')
        else:
            good.append(f"{need.name} {metadata.version(need.name)}")
    yield Check("packages", ", ".join(good))
    optional = [need for need in wanted if need not in base]
    for extra in filter(EXTRAS.get, metadata.metadata("sercli").get_all("Provides-Extra") or ()):
        names = [need.name for need in optional if need.marker and need.marker.evaluate({"extra": extra})]
        if absent := [name for name in names if not _version(name)]:
            found, mend = f"no {', '.join(absent)} ({EXTRAS[extra]})", f'pip install "sercli[{extra}]"'
            yield Check(f"extra {extra}", found, mend, needed=False)
        else:
            yield Check(f"extra {extra}", ", ".join(f"{name} {_version(name)}" for name in names))


def _fault(need: Requirement) -> str:
    """Say what is wrong with a package of the base install, or nothing."""
    version = _version(need.name)
    if not version:
        return "not installed"
    if not need.specifier.contains(version, prereleases=True):
        return f"{version} is installed, sercli needs {need.specifier}"
    if need.name == LISTENING:
        return ""
    try:
        import_module(MODULES.get(need.name, need.name))
    except Exception as problem:  # whatever a library that lacks something raises
        return f"{version} is installed, but cannot be imported: {_told(problem)[0]}"
    return ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _providers() -> Iterator[Check]:
    import onnxruntime

    there = onnxruntime.get_available_providers()
    mend = "" if "CPUExecutionProvider" in there else REINSTALL.replace("sercli", "onnxruntime")
    yield Check("providers", f"{', '.join(there)}; students run on CPUExecutionProvider", mend)


def _audio_files() -> Iterator[Check]:
    import soundfile

    there = soundfile.available_formats()
    absent = [form for form in ("WAV", "FLAC", "OGG", "MP3", "AIFF") if form not in there]
    found = f"libsndfile {soundfile.__libsndfile_version__}"
    found += f", cannot read {', '.join(absent)}" if absent else ": wav, flac, ogg, opus, mp3, aiff"
    yield Check("audio files", found, "pip install --force-reinstall soundfile" if absent else "")


def _students() -> Iterator[Check]:
    """Hash what is here of the zoo, and let it hear something."""
    from sercli.hub.inventory import holdings

    here = [holding for holding in holdings() if holding.found is not None]
    if not any(holding.place == "bundled" for holding in here):
        yield Check("students", "none came with this installation", REINSTALL)
    for holding in here:
        yield _student(holding)


def _student(holding: Holding) -> Check:
    import numpy as np

    from sercli.runtime.student import load

    assert holding.found is not None
    name = f"student {holding.name}"
    again = f"sercli zoo remove {holding.name} && sercli zoo pull {holding.name}"
    mend = REINSTALL if holding.place == "bundled" else again
    if altered := holding.found.altered():
        return Check(name, f"not as published: {', '.join(altered)} in {holding.found.folder}", mend)
    noise = 0.1 * np.random.default_rng(0).standard_normal(32_000).astype(np.float32)  # 2 s at 16 kHz
    try:
        load(holding.name, precision="float32", offline=True).predict(noise, 16_000)
        load(holding.name, precision="int8", offline=True).predict(noise, 16_000)
    except SercliError as problem:
        return Check(name, _told(problem)[0], mend)
    return Check(name, f"{holding.place}, {len(holding.found.digests)} files as published, runs in float32 and int8")


def _microphone() -> Iterator[Check]:
    """A machine that only labels files needs none."""
    from sercli.errors import MicrophoneError
    from sercli.live import devices

    try:
        with devices.quiet():
            library = devices.portaudio()
            inputs = devices.devices()
    except MicrophoneError as problem:
        found, mend = _told(problem)
        yield Check("microphone", f"{found} (sercli listen)", mend, needed=False)
        return
    names = [f"{one.name}{' (default)' if one.default else ''}" for one in inputs]
    yield Check("microphone", f"{library.get_portaudio_version()[1]}: {', '.join(names)}")


def _devices() -> Iterator[Check]:
    """Where a network could be trained; nothing to tell without torch."""
    if not _version("torch"):
        return
    try:
        import torch
    except Exception as problem:  # whatever a broken torch raises
        found = f"torch cannot be imported: {_told(problem)[0]}"
        yield Check("training", found, 'pip install --force-reinstall "sercli[train]"')
        return
    there = ["cpu"]
    if torch.cuda.is_available():
        there += [
            f"cuda:{number} ({torch.cuda.get_device_name(number)})" for number in range(torch.cuda.device_count())
        ]
    if torch.backends.mps.is_available():
        there.append("mps")
    yield Check("training", f"torch {torch.__version__} on {', '.join(there)}")


def _folders() -> Iterator[Check]:
    from huggingface_hub import constants

    from sercli.training.store import cache_folder

    yield _cache("cache", cache_folder(), "SERCLI_CACHE")
    yield _cache("hub cache", Path(constants.HF_HUB_CACHE), "HF_HOME")
    if data := os.environ.get("SERCLI_DATA"):
        there = Path(data).is_dir()
        names = ", ".join(sorted(entry.name for entry in Path(data).iterdir() if entry.is_dir())) if there else ""
        found = f"{data}: {names or 'empty'}" if there else f"SERCLI_DATA is {data}, which is no folder"
        yield Check("corpora", found, "" if there else "export SERCLI_DATA=DIR, a folder of corpora, or unset it")


def _cache(name: str, folder: Path, variable: str) -> Check:
    """Say where a cache is, how large, and whether it can be written."""
    from sercli.training.teacher_fill import size_text

    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not (place.is_dir() and os.access(place, os.W_OK | os.X_OK)):
        return Check(name, f"{folder}: {place} cannot be written", f"export {variable}=DIR, a folder of yours")
    files = (Path(top) / file for top, _, names in os.walk(folder) for file in names)
    size = sum(file.lstat().st_size for file in files if not file.is_symlink())
    return Check(name, f"{folder}: {size_text(size)}, {size_text(shutil.disk_usage(place).free)} free")


def _hub(online: bool) -> Iterator[Check]:
    """Which Hub would be asked; it is asked only where the user wants it."""
    from huggingface_hub import constants

    offline = bool(constants.HF_HUB_OFFLINE)
    yield Check("endpoint", f"{constants.ENDPOINT}{' (HF_ENDPOINT)' if os.environ.get('HF_ENDPOINT') else ''}")
    yield Check("offline", "yes, HF_HUB_OFFLINE is set: only what is cached is used" if offline else "no")
    if not online:
        return
    if offline:
        yield Check("answer", "not asked: HF_HUB_OFFLINE is set", "unset HF_HUB_OFFLINE")
        return
    from huggingface_hub import get_session

    try:
        status = get_session().head(constants.ENDPOINT, timeout=ANSWER_SECONDS).status_code
    except Exception as problem:  # the errors of the HTTP client differ between versions of the library
        mend = "connect, or export HF_ENDPOINT=https://MIRROR; labelling with what is here needs no network"
        yield Check("answer", f"{constants.ENDPOINT} cannot be reached ({problem})", mend)
        return
    yield Check("answer", f"{constants.ENDPOINT} answers (HTTP {status})")
