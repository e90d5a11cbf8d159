"""Evaluations from end to end: one model on a corpus, a recipe through every fold of its protocol."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sercli.corpora.derived import SOURCE, with_derived
from sercli.corpora.splits import LEAKS, Protocol, Split, split
from sercli.corpora.table import Utterance
from sercli.errors import CorpusError, LabelError, LeakError, UsageError
from sercli.evaluation.answers import UNANSWERED, UNLABELLED, Answers, Row, answer, joined, row_of, voice
from sercli.evaluation.bootstrap import Indices, Resample
from sercli.evaluation.compare import compare
from sercli.evaluation.corruption import Corruption
from sercli.evaluation.grid import Grid
from sercli.evaluation.measure import FORMAT, LEVEL, Settings, by_fold, described, measure, robustness, today, versions
from sercli.evaluation.metrics import classification
from sercli.evaluation.model import Model, open_model
from sercli.evaluation.seen import seen
from sercli.evaluation.task import NO_LABEL, SHARED, Task, ask, ratings
from sercli.labels import labels_of, map_label
from sercli.training.recipe import Recipe

Advance = Callable[[], object]
TRANSDUCTIVE = "the folds' models have heard their test speakers in training, though without labels"
FIXED_SCHEDULE = "in training; schedule fixed beforehand, last epoch"


@dataclass(frozen=True)
class Evaluation:
    """What `sercli eval` found."""

    metrics: dict[str, Any]
    """metrics.json"""
    answers: Answers | None
    """None across corpora, where every pair has labels of its own."""


def tests_of(published: Protocol, utterances: Sequence[Utterance]) -> list[tuple[str, list[Utterance]]]:
    """Take the test side of every fold of a protocol.

    Returns:
        fold name and its utterances

    Raises:
        CorpusError, LeakError: as `splits.split`; no utterance of the protocol's corpus
    """
    own = [utterance for utterance in utterances if utterance.corpus == published.corpus]
    if not own:
        raise CorpusError(f"protocol {published.name} is of corpus {published.corpus}, and there is nothing of it here")
    return [(fold.name, split(own, fold, published.by).test) for fold in published.folds]


def evaluate(
    model: Model,
    utterances: Sequence[Utterance],
    label_set: str = SHARED,
    published: Protocol | None = None,
    grid: Grid = Grid(),  # noqa: B008 - frozen
    settings: Settings = Settings(),  # noqa: B008 - frozen
    advance: Advance = lambda: None,
    derived: bool = False,
) -> Evaluation:
    """Measure one model.

    Args:
        model: from `open_model`
        utterances: with native labels
        label_set: name of a set, or SHARED
        published: test on the test sides of its folds
        grid: also measure under each of its corruptions; babble is made of the other speakers of the utterances
        settings: of the figures
        advance: called after each utterance
        derived: take a point for each emotion word where a corpus has no ratings

    Raises:
        LabelError, CorpusError, LeakError: as `task.ask`, `answer` and `splits.split`
        UsageError: a grid without labels to measure UA on
    """
    rates = "dimensions" in model.student.config.heads
    if derived:
        utterances = with_derived(utterances)
    sides = tests_of(published, utterances) if published else [("", list(utterances))]
    task = ask([u for _, side in sides for u in side], model.student.labels, label_set, rates)
    if grid.kinds and not task.labels:
        raise UsageError("robustness is measured as UA, and the data has ratings only; leave --robustness out")
    if rates:
        ratings(task.utterances, settings.scale)  # refuses a wrong scale before hours of work, not after
    fold_of = {utterance.stretch: name for name, side in sides for utterance in side}
    cells = grid.cells(task.utterances)
    with model.answering() as student:
        texts = model.texts(task.utterances) if model.texts else None
        answers = answer(student, task, cells, seed=settings.seed, advance=advance, texts=texts)
    answers = dataclasses.replace(answers, fold=[fold_of[u.stretch] for u in task.utterances])
    threshold = model.student.config.abstain_threshold or None
    metrics = {
        **_opening(model.identity(), [answers], published),
        "seen": seen(model.heard, task.utterances),
        "development": "",
        **measure(answers, settings, threshold),
        **(by_fold(answers) if published and task.labels else {}),
        **({"robustness": {**robustness(answers, cells, settings), "noise_files": grid.files()}} if cells else {}),
    }
    _name_derived(metrics, derived)
    return Evaluation(metrics, answers)


def cross_validate(
    recipe: Recipe,
    folder: Path,
    data: Path | None,
    grid: Grid = Grid(),  # noqa: B008 - frozen
    settings: Settings = Settings(),  # noqa: B008 - frozen
    *,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    note: Callable[[str], object] = lambda _: None,
    mode: str = "",
) -> Evaluation:
    """Train and test every fold of a recipe's protocol; finished folds count when resuming.

    Args:
        recipe: with `split.protocol`
        folder: gets one run folder per fold
        data: folder of corpora; default $SERCLI_DATA
        grid: also measure under each of its corruptions; babble is made of speakers outside the fold's test side
        settings: of the figures
        resume: go on where an earlier run stopped
        overwrite: train anew in a folder that holds runs
        quiet: no progress bars
        note: told when a fold is done
        mode: of students that read: audio, text or both

    Raises:
        RecipeError, CorpusError, LeakError: as the functions of training.run
        LeakError: a fold's model has heard one of its test speakers
        LabelError: a class nobody shows in any test, two corpora with fewer than two labels in common
        UsageError: a grid across corpora
    """
    from sercli.training.recipe_gmp import is_transductive
    from sercli.training.run import fold_split, for_fold, labelled, read_own, recipe_protocol, train_fold

    native = read_own(recipe, data)
    utterances = labelled(recipe, native)
    published = recipe_protocol(recipe, utterances)
    if grid.kinds and published.by == "corpus":
        raise UsageError("robustness is measured on one set of labels, not across corpora; leave --robustness out")
    splits = {fold.name: fold_split(recipe, utterances, published, fold) for fold in published.folds}
    tasks = _tasks(recipe, published, splits)
    parts: list[Answers] = []
    hashes: dict[str, str] = {}
    identity: dict[str, Any] = {}
    cells: Sequence[Corruption] = ()
    for name, sides in splits.items():
        place = folder / f"fold-{name}"
        cells = grid.cells([*sides.train, *sides.dev])  # before training, so that what is missing is told at once
        train_fold(for_fold(recipe, name), sides, place, data, resume=resume, overwrite=overwrite, quiet=quiet)
        model = open_model(place, mode=mode)
        heard = model.heard
        allowed = published.leaks or is_transductive(recipe.method)
        if heard is None or (not allowed and any(utterance in heard for utterance in sides.test)):
            raise LeakError(f"{place}: its model has heard test speakers of fold {name}, or hides whom; train it anew")
        identity, (hashes[name],) = model.identity(), model.sha256.values()
        with model.answering() as student:
            for task in tasks[name]:
                texts = model.texts(task.utterances) if model.texts else None
                parts.append(answer(student, task, cells, seed=settings.seed, fold=name, texts=texts))
        note(f"fold {name}: {place}")
    identity |= {"kind": "recipe", "id": "", "sha256": hashes, "temperature": None}
    identity["recipe"] = dataclasses.asdict(recipe)
    rest = {
        "seen": _met(published, splits, is_transductive(recipe.method)),
        "development": FIXED_SCHEDULE if recipe.split.train_on_dev else published.dev_rule,
        "seed": recipe.seed,
    }
    answers = None if published.by == "corpus" else joined(parts)
    opening = _opening(identity, [answers] if answers else parts, published)
    opening["data"]["left_out"] = _left_out(native, recipe.corpus.labels)
    if answers is None:
        return Evaluation({**opening, **rest, **_pairs(parts, settings)}, None)
    metrics = {
        **opening,
        **rest,
        **measure(answers, settings),
        **by_fold(answers),
        **({"robustness": {**robustness(answers, cells, settings), "noise_files": grid.files()}} if cells else {}),
    }
    _name_derived(metrics, recipe.corpus.derived_dimensions)
    return Evaluation(metrics, answers)


def _name_derived(metrics: dict[str, Any], derived: bool) -> None:
    """Say beside figures of arousal, valence and dominance that nobody rated them."""
    if derived and "dimensions" in metrics["figures"]:
        metrics["derived_dimensions"] = SOURCE


def _met(published: Protocol, splits: Mapping[str, Split], transductive: bool) -> dict[str, Any]:
    """Whether the folds' models have met the speakers they are tested on, as `seen` says it of one model."""
    if not (published.leaks or transductive):
        message = "no fold's model has heard the speakers it is tested on"
        return {"status": "unseen", "speakers": [], "utterances": 0, "message": message}
    tested = [utterance for sides in splits.values() for utterance in sides.test]
    speakers = sorted({f"{utterance.corpus}/{utterance.speaker}" for utterance in tested})
    status, message = ("leaks", LEAKS) if published.leaks else ("transductive", TRANSDUCTIVE)
    return {"status": status, "speakers": speakers, "utterances": len(tested), "message": message}


def compared_with_model(
    first: Evaluation, model: Model, settings: Settings, advance: Advance = lambda: None
) -> dict[str, Any]:
    """Test a second model on the utterances of an evaluation: the part `against` of metrics.json.

    Raises:
        LabelError: the second model lacks a label
        UsageError: the evaluation was across corpora, or without labels
    """
    answers = _comparable(first)
    task = answers.task
    if lacking := [label for label in task.labels if label not in model.student.labels]:
        raise LabelError(f"{model.student.id} has no label {', '.join(lacking)}; choose --labels that both have")
    with model.answering() as student:
        texts = model.texts(task.utterances) if model.texts else None
        second = answer(student, task, seed=settings.seed, advance=advance, texts=texts)
    found = _compared(answers, second.predictions, settings)
    return {"model": model.identity(), "seen": seen(model.heard, task.utterances), **found}


def compared_with_predictions(
    first: Evaluation, said: Mapping[Row, str], name: str, settings: Settings
) -> dict[str, Any]:
    """Compare with answers that a report holds, such as those of another recipe through the same protocol.

    Args:
        first: what was measured now
        said: label given to each utterance, as `results.read_predictions` reads it; empty for no answer
        name: what to call the other model
        settings: of the figures

    Raises:
        CorpusError: an utterance is not among them, or cannot be told from another; answers outside the labels
        UsageError: the evaluation was across corpora, or without labels
    """
    answers = _comparable(first)
    labels = answers.task.labels
    rows = [row_of(utterance) for utterance in answers.task.utterances]
    if missing := [u.path for u, row in zip(answers.task.utterances, rows, strict=True) if row not in said]:
        raise CorpusError(f"{name}: nothing on {missing[0]} ({len(missing)} missing); it is of another test")
    if len(set(rows)) < len(rows):
        raise CorpusError(f"{name}: several utterances have one speaker, file name and start; name the model instead")
    if foreign := sorted({said[row] for row in rows} - {"", *labels}):
        raise CorpusError(f"{name}: answers {', '.join(foreign)}, no labels here; take the same --labels for both")
    second = np.array([labels.index(said[row]) if said[row] else UNANSWERED for row in rows])
    return {"model": {"name": name, "id": name}, **_compared(answers, second, settings)}


def _comparable(evaluation: Evaluation) -> Answers:
    if evaluation.answers is None:
        raise UsageError("--against needs one set of labels; compare one pair of corpora at a time")
    if not evaluation.answers.task.labels:
        raise UsageError("--against compares labels, and the data has ratings only; leave it out")
    return evaluation.answers


def _compared(answers: Answers, second: Indices, settings: Settings) -> dict[str, Any]:
    labelled = answers.targets != UNLABELLED
    one = answers.only(labelled)
    found = compare(
        one.targets, one.predictions, second[labelled], one.task.labels, one.speakers, settings.draws, settings.seed
    )
    return {**found, "speakers": len({voice(utterance) for utterance in one.task.utterances} - {""})}


def _left_out(native: Sequence[Utterance], label_set: str) -> dict[str, int]:
    """Count the utterances of a recipe's corpora by emotions that have no place in its label set."""
    words = Counter(u.emotion or NO_LABEL for u in native if not map_label(u.emotion, label_set, u.corpus))
    return dict(sorted(words.items()))


def _opening(identity: dict[str, Any], parts: Sequence[Answers], published: Protocol | None) -> dict[str, Any]:
    protocol = {"protocol": published.name if published else "", "source": published.source if published else ""}
    return {
        "format": FORMAT,
        "date": today(),
        "versions": versions(),
        "model": identity,
        "data": {**protocol, **described(parts)},
    }


def _tasks(recipe: Recipe, published: Protocol, splits: Mapping[str, Split]) -> dict[str, list[Task]]:
    """One task per fold, or one per tested corpus, over the labels it shares with the training corpus."""
    labels = labels_of(recipe.corpus.labels)
    if published.by != "corpus":
        # asked of all folds together: each class occurs, but not in every fold, as one speaker of EmoDB has no disgust
        whole = ask([utterance for sides in splits.values() for utterance in sides.test], labels, recipe.corpus.labels)
        return {name: [Task(sides.test, whole.labels, whole.label_set, {})] for name, sides in splits.items()}
    tasks: dict[str, list[Task]] = {name: [] for name in splits}
    for fold in published.folds:
        sides = splits[fold.name]
        trained = {utterance.emotion for utterance in sides.train}
        known = [label for label in labels if label in trained]
        for corpus in fold.test:
            try:
                task = ask([utterance for utterance in sides.test if utterance.corpus == corpus], known)
            except (CorpusError, LabelError) as problem:  # none of its utterances may have a label of the other corpus
                raise LabelError(f"{fold.name} to {corpus}, over the labels both have: {problem}") from problem
            tasks[fold.name].append(task)
    return tasks


def _pairs(parts: Sequence[Answers], settings: Settings) -> dict[str, Any]:
    """Figures of every training corpus on every other, and their means over pairs."""
    pairs: dict[str, dict[str, Any]] = {}
    for part in parts:
        resample = Resample(part.speakers, settings.draws, LEVEL, settings.seed)
        found = classification(part.targets, part.predictions, part.task.labels, resample)
        pairs.setdefault(part.fold[0], {})[part.task.utterances[0].corpus] = {
            "ua": found["ua"]["value"],
            "low": found["ua"]["low"],
            "high": found["ua"]["high"],
            "wa": found["wa"]["value"],
            "chance": round(100.0 / len(part.task.labels), 2),
            "labels": list(part.task.labels),
            "clips": len(part.targets),
            "speakers": len(set(part.speakers)),
            "recall": {label: recall["value"] for label, recall in found["recall"].items()},
            "confusion": found["confusion"],
        }
    cells = [cell for row in pairs.values() for cell in row.values()]
    mean = {key: round(float(np.mean([cell[key] for cell in cells])), 2) for key in ("ua", "wa", "chance")}
    return {"bootstrap": settings.bootstrap(), "figures": {}, "pairs": pairs, "over_pairs": mean}
