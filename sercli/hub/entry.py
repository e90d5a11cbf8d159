"""One student of the zoo: what it is, where it lies, and the hash of each of its files, as its bundle says it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sercli.errors import BundleError
from sercli.hub.digest import sha256
from sercli.hub.facts import CODE_LICENCE, Facts, read_facts
from sercli.runtime.bundle import BUNDLE_FILES

LARGEST_FILE = 2**28  # bytes, 256 MiB: twenty times the largest student


@dataclass(frozen=True)
class File:
    """One file of a bundle."""

    size: int
    """bytes"""
    sha256: str


@dataclass(frozen=True)
class Where:
    """Where a student lies; in the package, on the Hub, or both."""

    bundled: bool
    """comes with the package"""
    hub: str = ""
    """`hf:owner/repo@commit`; empty if it is not there"""


@dataclass(frozen=True)
class Licence:
    """Licences, of code and weights apart."""

    code: str
    weights: str


@dataclass(frozen=True)
class Figure:
    """A headline figure, in percent."""

    recipe: str
    """that was measured"""
    protocol: str
    classes: int
    ua: float
    """mean over folds; across corpora over pairs"""
    wa: float
    """likewise"""
    ua_pooled: float | None = None
    """over all clips together"""
    interval: tuple[float, ...] = ()
    """95 % of ua_pooled; low and high, or none where there are too few speakers"""


@dataclass(frozen=True)
class Speed:
    """What it costs to run on one thread."""

    macs_per_second: int
    """multiply-accumulates per second of audio"""
    real_time_factor: float
    """CPU time divided by the audio's duration, where the bundle was exported"""


@dataclass(frozen=True)
class Defaults:
    """What `sercli predict` does without options."""

    precision: str
    window: float
    """seconds"""
    hop: float
    """seconds"""
    threshold: float
    """a best score below it is "uncertain" """


@dataclass(frozen=True)
class Entry:
    """One student of the zoo."""

    architecture: str
    parameters: int
    labels: tuple[str, ...]
    languages: tuple[str, ...]
    """ISO 639-1, of the training material"""
    sample_rate: int
    """Hz"""
    where: Where
    licence: Licence
    corpora: tuple[str, ...]
    """that it was trained on"""
    metrics: tuple[Figure, ...]
    """of the same network, trained fold by fold by its own recipes"""
    speed: Speed | None
    defaults: Defaults
    minimum_sercli: str
    """oldest version that can run it"""
    files: Mapping[str, File]


def entry_of(folder: Path, where: Where, card: str | None = None) -> Entry:
    """Describe a bundle for the manifest, by its own files.

    Args:
        folder: of the bundle
        where: it lies, or will lie
        card: text of README.md, if it is not the folder's

    Raises:
        BundleError: a file is missing, too large or says too little
    """
    facts = read_facts(folder)
    config, cost = facts.config, facts.metrics.get("cost")
    contents = {name: (folder / name).read_bytes() for name in BUNDLE_FILES if (folder / name).is_file()}
    if card is not None:
        contents["README.md"] = card.encode()
    if missing := [name for name in BUNDLE_FILES if name not in contents]:
        raise BundleError(f"{folder}: {', '.join(missing)} missing; export the student again")
    return Entry(
        architecture=config.architecture,
        parameters=config.parameters,
        labels=config.labels,
        languages=facts.languages,
        sample_rate=config.sample_rate,
        where=where,
        licence=Licence(CODE_LICENCE, facts.licence),
        corpora=tuple(item.corpus for item in facts.material),
        metrics=tuple(figures(facts)),
        speed=Speed(round(cost["macs_per_second"]), cost["real_time_factor"]) if cost else None,
        defaults=Defaults("float32", config.window_seconds, config.hop_seconds, config.abstain_threshold),
        minimum_sercli=config.sercli_version,
        files={name: File(len(contents[name]), sha256(contents[name])) for name in sorted(contents)},
    )


def figures(facts: Facts) -> list[Figure]:
    """Take the headline figures out of a bundle's metrics.json."""
    found = []
    for row in facts.metrics["cross_validation"]:
        pooled, folds = row["figures"]["ua"], row["over_folds"]
        interval = () if pooled["low"] is None else (pooled["low"], pooled["high"])
        classes = len(row["data"]["labels"])
        found.append(
            Figure(
                row["model"]["name"],
                row["data"]["protocol"],
                classes,
                folds["ua"]["mean"],
                folds["wa"]["mean"],
                pooled["value"],
                interval,
            )
        )
    for row in facts.metrics["cross_corpus"]:
        pairs = row["over_pairs"]
        found.append(
            Figure(row["model"]["name"], row["data"]["protocol"], len(row["data"]["labels"]), pairs["ua"], pairs["wa"])
        )
    return found


def plain(entry: Entry) -> dict[str, Any]:
    """Turn an entry into values for YAML and JSON; what it does not have is left out."""
    values = {key: _listed(value) for key, value in asdict(entry).items()}
    if entry.speed is None:
        del values["speed"]
    if not entry.where.hub:
        del values["where"]["hub"]
    for figure in values["metrics"]:
        if figure["ua_pooled"] is None:
            del figure["ua_pooled"]
    return values


def _listed(value: Any) -> Any:
    """Turn tuples into lists, which is what YAML has."""
    if isinstance(value, Mapping):
        return {key: _listed(item) for key, item in value.items()}
    return [_listed(item) for item in value] if isinstance(value, list | tuple) else value
