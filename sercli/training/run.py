"""From a recipe to trained folders: reads corpora, splits by speaker, trains one model or every fold of a protocol."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sercli.corpora import read_corpus
from sercli.corpora.derived import is_rated, with_derived
from sercli.corpora.sentences import by_sentence
from sercli.corpora.speech import with_copies
from sercli.corpora.splits import (
    CROSS_CORPUS,
    Fold,
    Protocol,
    Split,
    cross_corpus,
    holdout,
    named_holdout,
    protocol,
    protocols,
    speaker_share,
    split,
)
from sercli.corpora.table import Utterance, is_table
from sercli.errors import LabelError, OutputError, RecipeError, UsageError
from sercli.labels import labels_of, map_label, relabel
from sercli.training.recipe import Recipe, Source
from sercli.training.recipe_file import is_recipe_of
from sercli.training.recipe_gmp import NAME as GMP

if TYPE_CHECKING:
    from sercli.training.trainer import Trained

FOLD = "{fold}"
"""In the name of a model of a recipe: the fold's own name."""


def read_sources(recipe: Recipe, data: Path | None) -> list[Utterance]:
    """Read the recipe's corpora in its label set; what has no place in it is left out, or kept for its ratings.

    Args:
        recipe: names the corpora
        data: folder that holds one folder per corpus, for sources without a root; default $SERCLI_DATA

    Raises:
        LabelError: a word that is no emotion and none of the recipe's labels
        RecipeError: no corpus, unknown label set, or nobody says where a corpus lies
    """
    try:
        labels_of(recipe.corpus.labels)
    except LabelError as problem:
        raise RecipeError(f"corpus.labels: {problem}") from None
    return labelled(recipe, read_own(recipe, data))


def read_own(recipe: Recipe, data: Path | None) -> list[Utterance]:
    """Read the recipe's corpora with their own labels, as `read_native`, and derived ratings where it asks for them."""
    native = read_native(recipe.corpus.sources, data)
    return with_derived(native) if recipe.corpus.derived_dimensions else native


def labelled(recipe: Recipe, native: Sequence[Utterance]) -> list[Utterance]:
    """Bring utterances into a recipe's label set; without a place in it only those go on that are to teach ratings."""
    if not recipe.corpus.rated:
        return relabel(native, recipe.corpus.labels)
    labels = [map_label(item.emotion, recipe.corpus.labels, item.corpus) or "" for item in native]
    placed = (dataclasses.replace(item, emotion=label) for item, label in zip(native, labels, strict=True))
    return [item for item in placed if item.emotion or is_rated(item)]


def read_native(sources: Sequence[Source], data: Path | None) -> list[Utterance]:
    """Read corpora with their own labels, each utterance weighted as its source says.

    Raises:
        RecipeError: no corpus, or nobody says where a corpus lies
    """
    if not sources:
        raise RecipeError("corpus.sources: name at least one corpus (`sercli corpus list`)")
    utterances: list[Utterance] = []
    for source in sources:
        root = Path(source.root).expanduser() if source.root else source_root(source.name, data)
        # on the utterances, because the corpora of a table or folder are not named as the source is
        found = read_corpus(source.name, root)
        utterances += [dataclasses.replace(item, weight=item.weight * source.weight) for item in found]
    return utterances


def source_root(name: str, data: Path | None) -> Path | None:
    """Find the folder of a corpus that nobody named: below `data`, default $SERCLI_DATA; tables need none.

    Raises:
        RecipeError: nobody says where corpora lie
    """
    if is_table(name):
        return None
    folder = data or (Path(os.environ["SERCLI_DATA"]) if os.environ.get("SERCLI_DATA") else None)
    if folder is None:
        raise RecipeError(f"corpus {name}: where is it? Give --data DIR, set SERCLI_DATA, or name its root")
    return folder / name


def release_split(recipe: Recipe, utterances: list[Utterance]) -> Split:
    """Split without a test side: development speakers by name, everyone else trains."""
    if recipe.split.dev_speakers:
        return holdout(utterances, _dev_speakers(recipe.split.dev_speakers))
    if recipe.split.dev_share:
        return holdout(utterances, speaker_share(utterances, recipe.split.dev_share))
    if recipe.split.holdout:
        return holdout(utterances, named_holdout(recipe.split.holdout).dev_speakers)
    raise RecipeError("split: name a protocol, a holdout (`release`), your own dev_speakers or a dev_share")


def recipe_protocol(recipe: Recipe, utterances: list[Utterance]) -> Protocol:
    """Find the protocol a recipe is measured by.

    Raises:
        RecipeError: no protocol, or one measured on other labels or on a corpus the recipe does not have
        UsageError: there is no such protocol
    """
    name = recipe.split.protocol
    if not name:
        raise RecipeError(f"split.protocol: name one of {', '.join([*protocols(), CROSS_CORPUS])}")
    if name == CROSS_CORPUS:
        return cross_corpus((utterance.corpus for utterance in utterances), recipe.corpus.labels)
    published = protocol(name)
    if published.label_set != recipe.corpus.labels:
        raise RecipeError(f"corpus.labels: {name} is measured on {published.label_set}, not {recipe.corpus.labels}")
    if published.leaks and not recipe.split.train_on_dev:
        raise RecipeError(f"split.train_on_dev: must be true, since {name} has nobody for development")
    return published


def fold_split(recipe: Recipe, utterances: list[Utterance], published: Protocol, fold: Fold) -> Split:
    """Part the utterances by a fold; across corpora only the labels that the training corpus knows are tested.

    Raises:
        CorpusError, LeakError: as `splits.split`
        RecipeError: nobody says which speakers of a training corpus are for development
    """
    parts = split(utterances, fold, published.by)
    if recipe.split.sentences:
        number = [one.name for one in published.folds].index(fold.name)
        parts = by_sentence(parts, recipe.split.sentences, number % recipe.split.sentences)
    if published.by != "corpus":
        return parts
    known = {utterance.emotion for utterance in parts.train}
    test = [utterance for utterance in parts.test if utterance.emotion in known]
    if recipe.split.train_on_dev:
        return Split(train=parts.train, dev=[], test=test)
    held = release_split(recipe, parts.train)
    return Split(train=held.train, dev=held.dev, test=test)


def _dev_speakers(values: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    for corpus, names in values.items():
        if not isinstance(names, list | tuple):
            raise RecipeError(f"split.dev_speakers.{corpus}: needs a list of speakers, not {names!r}")
    return {corpus: tuple(map(str, names)) for corpus, names in values.items()}


def train_one(recipe: Recipe, folder: Path, data: Path | None, **options: Any) -> dict[str, Any]:
    """Train on everything but the development speakers; returns the figures on them.

    Raises:
        RecipeError: split.train_on_dev, which would leave nobody to calibrate with, or a model named after a fold
    """
    if for_fold(recipe, "") != recipe:
        raise RecipeError(f"split.protocol: names no protocol, and {FOLD} stands in the name of a model; name one")
    if recipe.split.train_on_dev:
        raise RecipeError("split.train_on_dev: only for a protocol's folds; a student needs development speakers")
    dev = _fit(recipe, release_split(recipe, read_sources(recipe, data)), folder, data, **options).dev
    assert dev is not None
    return dev


def _fit(
    recipe: Recipe, parts: Split, folder: Path, data: Path | None, shared: Path | None = None, **options: Any
) -> Trained:
    """Train a teacher, or a student, plainly or with the recipe's teacher, which hears the stages' speech too.

    Args:
        shared: folder of the stages that do not depend on the split; default: the run's own
    """
    speeds = recipe.augment.copies
    dev = with_copies(parts.dev, speeds) if recipe.split.train_on_dev else parts.dev
    parts = dataclasses.replace(parts, train=with_copies(parts.train, speeds), dev=dev)
    if recipe.encoder.name:
        if GMP in recipe.method:
            from sercli.training.gmp_run import train_gmp

            return train_gmp(recipe, parts, folder, **options)
        from sercli.training.teacher_run import train_teacher

        return train_teacher(recipe, parts, folder, **options)
    start = None
    held_out = parts.test if recipe.split.train_on_dev else [*parts.dev, *parts.test]
    if recipe.graph.model:
        from sercli.training.neighbour_embeddings import check_source

        check_source(recipe.graph, held_out)
    if recipe.student.start:
        from sercli.training.start import starting_student

        labels = labels_of(recipe.corpus.labels)
        start = starting_student(recipe.student.start, labels, held_out)
    if not recipe.teacher.named:
        if recipe.before or recipe.speech:
            part = "before: stages need" if recipe.before else "speech: clips without labels need"
            raise RecipeError(f"{part} a teacher; name one, or leave them out")
        from sercli.training.trainer import train

        return train(recipe, parts, folder, start=start, **options)
    from sercli.training.distil import distil

    sources = [*(stage.speech for stage in recipe.before), recipe.speech]
    read = [read_native(named, data) if named else [] for named in sources]
    *speech, beside = ([_only_sound(item) for item in with_copies(items, speeds)] for items in read)
    return distil(recipe, parts, folder, speech, beside=beside, start=start, shared=shared, **options)


def _only_sound(utterance: Utterance) -> Utterance:
    """Leave out what anybody said of an utterance."""
    return dataclasses.replace(
        utterance, emotion="", arousal=math.nan, valence=math.nan, dominance=math.nan, votes="", text=""
    )


def train_fold(
    recipe: Recipe, parts: Split, folder: Path, data: Path | None, *, resume: bool = False, **options: Any
) -> dict[str, Any]:
    """Train one fold, its teacher too, and test it, or read what an earlier run left in the folder.

    Raises:
        OutputError: resuming, but the folder holds another recipe's run
    """
    if resume and (folder / "checkpoint.json").exists():
        if not is_recipe_of(folder / "recipe.yaml", recipe):
            raise OutputError(f"{folder / 'recipe.yaml'}: differs from the recipe asked for; use another --output")
    else:
        _fit(recipe, parts, folder, data, folder.parent, resume=resume, **options)
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return metrics


def for_fold(recipe: Recipe, fold: str) -> Recipe:
    """Fill the fold's name into the names of models that were trained fold by fold, where they say `{fold}`."""

    def filled(name: str) -> str:
        return name.replace(FOLD, fold)

    teacher = recipe.teacher
    taught_by = tuple(dataclasses.replace(one, name=filled(one.name)) for one in teacher.students)
    own = dataclasses.replace(teacher.own, folder=filled(teacher.own.folder)) if teacher.own else None
    method = recipe.method
    if isinstance(gmp := method.get(GMP), Mapping) and "folder" in gmp:
        method = {**method, GMP: {**gmp, "folder": filled(str(gmp["folder"]))}}
    return dataclasses.replace(
        recipe,
        method=method,
        teacher=dataclasses.replace(teacher, students=taught_by, own=own),
        student=dataclasses.replace(recipe.student, start=filled(recipe.student.start)),
        graph=dataclasses.replace(recipe.graph, model=filled(recipe.graph.model)),
    )


def named_fold(published: Protocol, name: str) -> Fold:
    """Find a fold of a protocol.

    Raises:
        UsageError: the protocol has no such fold
    """
    for fold in published.folds:
        if fold.name == name:
            return fold
    raise UsageError(f"{published.name} has no fold {name!r}; its folds: {', '.join(f.name for f in published.folds)}")
