"""Speaker-disjoint splits: published folds by name, held-out speakers, and the refusal of anything that leaks.

A fold names whole speakers for test and development; everyone else trains: a speaker heard in training makes a test
figure worthless. The one random split over utterances, `iemocap-random80`, is there to be compared with published
figures of that kind; its splits carry the mark `leaks`, which goes with them into every result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, LeakError, UsageError
from sercli.nearest import nearest

FOLDS = Path(__file__).parent / "folds"
"""One JSON file per published protocol."""
HOLDOUTS = Path(__file__).parent / "holdouts"
"""One JSON file per set of development speakers over several corpora."""

CROSS_CORPUS = "cross-corpus"
"""The protocol that trains on one corpus and tests on the others; its folds follow from the corpora at hand."""

FIFTH = "fifth"
"""What a protocol parts by that deals the utterances out at random, whoever speaks."""
SEED = "0"
"""Of that deal."""
LEAKS = (
    "speakers stand on both sides: only to compare with published figures of this kind, it says nothing about others"
)

PLURAL = {"speaker": "speakers", "session": "sessions", "corpus": "corpora", FIFTH: "fifths"}
"""What a protocol may part by: columns of the table, and random fifths."""

Speaker = tuple[str, str]
"""(corpus, speaker): the same number in two corpora is two people."""


@dataclass(frozen=True)
class Fold:
    """One round of a protocol, in names of what the protocol parts by: speakers, official partitions or corpora."""

    name: str
    test: tuple[str, ...]
    dev: tuple[str, ...]
    train: tuple[str, ...] = ()
    """Empty: everyone the fold does not name."""


@dataclass(frozen=True)
class Protocol:
    """A published way to measure on one corpus."""

    name: str
    corpus: str
    label_set: str
    """Name in labels.LABEL_SETS."""
    source: str
    """Who published the test folds."""
    folds: tuple[Fold, ...]
    dev_rule: str = ""
    """How the development speakers were chosen."""
    by: str = "speaker"
    """What the folds name: speaker, session (an official partition), corpus, or a random fifth of the utterances."""

    @property
    def leaks(self) -> bool:
        """Whether speakers stand on both sides."""
        return self.by == FIFTH


@dataclass(frozen=True)
class Holdout:
    """Development speakers per corpus for a model that trains on everything else and is tested elsewhere."""

    name: str
    source: str
    dev_speakers: dict[str, tuple[str, ...]]
    """Corpus to speakers; a corpus with none is training material only."""


@dataclass(frozen=True)
class Split:
    """Utterances per side; no speaker on two sides, unless it says so."""

    train: list[Utterance]
    dev: list[Utterance]
    test: list[Utterance]
    leaks: bool = False
    """of a protocol that parts by utterances: speakers may stand on two sides, utterances may not"""


def protocols() -> list[str]:
    """Return the names of the published protocols, sorted."""
    return _names(FOLDS)


def holdouts() -> list[str]:
    """Return the names of the sets of development speakers, sorted."""
    return _names(HOLDOUTS)


def protocol(name: str) -> Protocol:
    """Read a protocol.

    Raises:
        UsageError: there is no protocol of that name.
    """
    data = _data(FOLDS, name, "protocol")
    folds = tuple(
        Fold(fold["name"], tuple(fold["test"]), tuple(fold["dev"]), tuple(fold.get("train", ())))
        for fold in data["folds"]
    )
    by = data.get("by", "speaker")
    return Protocol(name, data["corpus"], data["label_set"], data["source"], folds, data["dev_rule"], by)


def cross_corpus(corpora: Iterable[str], label_set: str) -> Protocol:
    """Make the protocol that trains on each corpus in turn and tests on every other, over the labels both have.

    Args:
        corpora: at least two, as in the column `corpus`
        label_set: the words their labels are put in

    Raises:
        UsageError: fewer than two corpora.
    """
    names = sorted(set(corpora))
    if len(names) < 2:
        raise UsageError(f"{CROSS_CORPUS} needs two corpora, here is {', '.join(names) or 'none'}; name another")
    folds = tuple(Fold(name, tuple(other for other in names if other != name), (), (name,)) for name in names)
    source = "Train on one corpus, test on each other corpus, over the labels both have."
    return Protocol(CROSS_CORPUS, "", label_set, source, folds, "Named development speakers of the corpus.", "corpus")


def named_holdout(name: str = "release") -> Holdout:
    """Read a set of development speakers; `release` is the one the bundled students are trained with.

    Raises:
        UsageError: there is no such set.
    """
    data = _data(HOLDOUTS, name, "holdout")
    return Holdout(name, data["source"], {corpus: tuple(speakers) for corpus, speakers in data["dev"].items()})


def split(utterances: Iterable[Utterance], fold: Fold, by: str = "speaker") -> Split:
    """Part utterances by a fold.

    Args:
        utterances: of one corpus, unless the fold names corpora
        fold: which names test, develop and train
        by: what the fold names: speaker, session, corpus or fifth

    Raises:
        CorpusError: an utterance without a speaker, a name of the fold without utterances, several corpora.
        LeakError: the fold names somebody twice, or a speaker stands on two sides.
    """
    utterances = list(utterances)
    corpora = sorted({utterance.corpus for utterance in utterances})
    if by != "corpus" and len(corpora) > 1:
        raise CorpusError(f"fold {fold.name} is of one corpus, not of {', '.join(corpora)}; split each by itself")
    named = {"test": set(fold.test), "dev": set(fold.dev), "train": set(fold.train)}
    for one, other in (("test", "dev"), ("test", "train"), ("dev", "train")):
        if both := sorted(named[one] & named[other]):
            raise LeakError(f"fold {fold.name} has {', '.join(both)} in {one} and {other}; name each {by} once")
    side_of = {name: side for side, names in named.items() for name in names}
    sides: dict[str, list[Utterance]] = {"train": [], "dev": [], "test": []}
    names = _fifths(utterances) if by == FIFTH else [str(getattr(utterance, by)) for utterance in utterances]
    for utterance, name in zip(utterances, names, strict=True):
        side = side_of.get(name, "" if fold.train else "train")
        if side:
            sides[side].append(utterance)
    found = set(names)
    if missing := sorted(set(side_of) - found):
        where = "complete the corpus" if by != "corpus" else "name their corpora too"
        raise CorpusError(f"fold {fold.name} names {PLURAL[by]} without utterances: {', '.join(missing)}; {where}")
    parts = Split(**sides, leaks=by == FIFTH)
    check_disjoint(parts)
    return parts


def holdout(utterances: Iterable[Utterance], dev_speakers: Mapping[str, Iterable[str]]) -> Split:
    """Hold out development speakers per corpus; the test side stays empty.

    Args:
        utterances: of any number of corpora; corpora that dev_speakers does not name train
        dev_speakers: corpus to its development speakers; corpora without utterances are passed over

    Raises:
        CorpusError: an utterance without a speaker, or a development speaker without utterances.
    """
    utterances = list(utterances)
    present = {utterance.corpus for utterance in utterances}
    dev = {(corpus, name) for corpus, names in dev_speakers.items() if corpus in present for name in names}
    if missing := sorted(dev - _speakers(utterances)):
        names = ", ".join("/".join(filter(None, speaker)) for speaker in missing)
        raise CorpusError(f"the holdout names speakers without utterances: {names}; complete the corpus or drop them")
    sides: tuple[list[Utterance], list[Utterance]] = [], []
    for utterance in utterances:
        sides[(utterance.corpus, utterance.speaker) in dev].append(utterance)
    return Split(train=sides[False], dev=sides[True], test=[])


def speaker_share(utterances: Iterable[Utterance], share: float) -> dict[str, tuple[str, ...]]:
    """Choose development speakers by a share: per corpus, one at least, by a hash of their names, alike everywhere.

    Raises:
        CorpusError: an utterance without a speaker, or a corpus with a single one.
    """
    chosen: dict[str, tuple[str, ...]] = {}
    speakers = sorted(_speakers(utterances))
    for corpus in dict.fromkeys(corpus for corpus, _ in speakers):
        names = [name for home, name in speakers if home == corpus]
        if len(names) < 2:
            raise CorpusError(
                f"{corpus}: {names[0]} is its only speaker, and nobody is left to select with; record another"
            )
        drawn = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
        chosen[corpus] = tuple(sorted(drawn[: min(max(1, round(share * len(names))), len(names) - 1)]))
    return chosen


def check_disjoint(split: Split) -> None:
    """Refuse a split that leaks, or leaks more than it says.

    Raises:
        LeakError: a speaker stands on two sides; names them. An utterance does, where speakers may.
        CorpusError: an utterance has no speaker, so nobody can tell.
    """
    if split.leaks:
        stretches = [utterance.stretch for side in (split.train, split.dev, split.test) for utterance in side]
        if len(set(stretches)) < len(stretches):
            raise LeakError("an utterance stands on two sides, or twice on one; put each there once")
        return
    sides = {side: _speakers(getattr(split, side)) for side in ("train", "dev", "test")}
    for one, other in (("train", "test"), ("train", "dev"), ("dev", "test")):
        shared = sorted(sides[one] & sides[other])
        if shared:
            names = ", ".join("/".join(filter(None, speaker)) for speaker in shared)
            raise LeakError(f"speakers on both the {one} and the {other} side: {names}; put each on one side only")


def _fifths(utterances: Iterable[Utterance]) -> list[str]:
    """Deal utterances out into five equal parts, `1` to `5`, at random but alike on every machine."""
    names = [f"{SEED} {Path(utterance.path).stem} {utterance.start}" for utterance in utterances]
    drawn = [hashlib.sha256(name.encode()).hexdigest() for name in names]
    place = {digest: number for number, digest in enumerate(sorted(drawn))}
    return [str(place[digest] % 5 + 1) for digest in drawn]


def _speakers(utterances: Iterable[Utterance]) -> set[Speaker]:
    speakers = set()
    for utterance in utterances:
        if not utterance.speaker:
            raise CorpusError(
                f"{utterance.path}: speaker unknown, cannot be split; lay a folder per class out as"
                ' CLASS/SPEAKER/NAME.wav, or fill the column "speaker" of a table (`sercli corpus table` writes one)'
            )
        speakers.add((utterance.corpus, utterance.speaker))
    return speakers


def _names(folder: Path) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.json"))


def _data(folder: Path, name: str, kind: str) -> dict[str, Any]:
    known = _names(folder)
    if name not in known:
        raise UsageError(f'unknown {kind} "{name}"{nearest(name, known)}; choose one of {", ".join(known)}')
    data: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return data
