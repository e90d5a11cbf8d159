"""What students and teachers that are trained already say about utterances, in logits."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sercli.corpora.speech import read_utterance
from sercli.corpora.table import Utterance
from sercli.errors import RecipeError
from sercli.evaluation.model import Model, open_model
from sercli.models.heads import TeacherHead
from sercli.models.teacher import ARCHITECTURE, Teacher
from sercli.runtime.prediction import DIMENSIONS, Prediction
from sercli.training.lessons import collate_lessons
from sercli.training.recipe_teacher import BundlePart, EncoderPart
from sercli.training.run_folder import CHECKPOINT, WEIGHTS
from sercli.training.start import unheard
from sercli.training.teacher_cache import CacheKey, TeacherCache
from sercli.training.teacher_fill import fill
from sercli.training.teacher_learner import answer, given
from sercli.training.teacher_run import frozen_states, load_teacher

Floats = npt.NDArray[np.float32]


LEAST_SHARE = 1e-6  # of a class: its logarithm must stay finite


def student_logits(
    name: str, utterances: Sequence[Utterance], labels: Sequence[str], held_out: npt.NDArray[np.bool_]
) -> Floats:
    """Let another student, or a teacher's run, answer every utterance, alone, with all of its clip.

    Args:
        name: as of `open_model`
        utterances: clips
        labels: label set, all of which it must know
        held_out: which are of development or test speakers, shape (clips,); those it must not have heard

    Returns:
        logarithms of its probabilities, shape (clips, classes); even where it hears only silence

    Raises:
        LeakError: it was trained or selected on a speaker that this run holds out
        RecipeError: it does not know a label
    """
    model = open_model(name)
    if lacking := [label for label in labels if label not in model.student.labels]:
        raise RecipeError(f"teacher.students: {name} has no label {', '.join(lacking)}; both need the same label set")
    unheard("teacher.students", name, model.heard, itertools.compress(utterances, held_out))
    if is_teacher(model.folder):
        return np.maximum(teacher_scores(model.folder, utterances, labels), np.log(LEAST_SHARE, dtype=np.float32))
    said = [prediction.scores for prediction in _predictions(model, utterances, labels)]
    shares = np.array([[scores.get(label, 1.0 / len(labels)) for label in labels] for scores in said], np.float32)
    return np.log(np.maximum(shares, LEAST_SHARE))


def student_ratings(parts: Sequence[BundlePart], utterances: Sequence[Utterance], labels: Sequence[str]) -> Floats:
    """Let students that rate say arousal, valence and dominance, averaged; those that do not rate are left out.

    Args:
        parts: checked as `student_logits` checks them
        utterances: clips
        labels: of the run

    Returns:
        from 0 to 1, 0.5 where all hear only silence, shape (clips, 3)

    Raises:
        RecipeError: none of them rates
    """
    total, weight = np.zeros((len(utterances), len(DIMENSIONS)), np.float32), 0.0
    for part in parts:
        model = open_model(part.name)
        if "dimensions" not in model.student.config.heads:
            continue
        if is_teacher(model.folder):
            said = np.clip(teacher_outputs(model.folder, utterances, "dimensions"), 0.0, 1.0)
        else:
            found = [prediction.dimensions for prediction in _predictions(model, utterances, labels)]
            said = np.array([np.full(len(DIMENSIONS), 0.5) if one is None else one for one in found], np.float32)
        total, weight = total + part.weight * said, weight + part.weight
    if not weight:
        raise RecipeError(
            "method.ccc: no student or teacher of teacher.students rates; take one with outputs.dimensions"
        )
    return np.asarray(total / weight, np.float32)


def _predictions(model: Model, utterances: Sequence[Utterance], labels: Sequence[str]) -> list[Prediction]:
    """Let a model answer utterances one by one, with their transcripts if it reads."""
    decision = model.student.decision(tuple(labels), threshold=0.0)
    texts = model.texts(utterances) if model.texts else [""] * len(utterances)
    with model.answering() as student:
        return [
            student.reading(text).label_whole([read_utterance(utterance)], decision)
            for text, utterance in zip(texts, utterances, strict=True)
        ]


def is_teacher(folder: Path) -> bool:
    """Whether a folder is a finished run of a teacher."""
    file = folder / CHECKPOINT
    return file.exists() and json.loads(file.read_text(encoding="utf-8"))["architecture"] == ARCHITECTURE


def teacher_scores(folder: Path, utterances: Sequence[Utterance], labels: Sequence[str], quiet: bool = True) -> Floats:
    """Let the teacher of a run answer utterances: from the cached states of its encoder, or with its cached logits.

    Args:
        folder: of the run
        utterances: clips
        labels: some of its labels, the only ones it may choose
        quiet: no progress bar

    Returns:
        logarithms of its calibrated probabilities, shape (clips, labels)

    Raises:
        BundleError, ModelNotFoundError, CorpusError, OutputError: as `load_teacher` and `fill`
    """
    checkpoint: dict[str, Any] = json.loads((folder / CHECKPOINT).read_text(encoding="utf-8"))
    columns = [checkpoint["labels"].index(label) for label in labels]
    said = teacher_outputs(folder, utterances, "logits", quiet)[:, columns]
    return np.asarray(torch.log_softmax(torch.from_numpy(said) / (checkpoint["temperature"] or 1.0), dim=1))


def teacher_outputs(folder: Path, utterances: Sequence[Utterance], output: str, quiet: bool = True) -> Floats:
    """Let the teacher of a run hear utterances, or take from the cache what it said.

    Args:
        folder: of the run
        utterances: clips
        output: logits, embedding or dimensions
        quiet: no progress bar

    Returns:
        shape (clips, classes or width of the embedding)

    Raises:
        BundleError, ModelNotFoundError, CorpusError, OutputError: as `load_teacher` and `fill`
    """
    checkpoint: dict[str, Any] = json.loads((folder / CHECKPOINT).read_text(encoding="utf-8"))
    teacher, facts = load_teacher(folder, checkpoint), checkpoint["encoder"]
    if facts["trained_layers"] == 0:
        part = EncoderPart(facts["name"], facts["revision"], teacher.layers)
        pooling = teacher.head.arguments.pooling
        states = frozen_states(teacher.encoder, part, pooling, utterances, quiet)(utterances)
        heard = (collate_lessons([states.of(i, 0.0, 1.0)]) for i in range(len(utterances)))
        return np.stack([_said(teacher.head, clip, output) for clip in heard])
    weights = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    cache = TeacherCache(CacheKey(checkpoint["name"], facts["sha256"], {"states": output, "trained": weights}))
    digests = fill(cache, utterances, lambda clip: {output: _heard(teacher, clip, output)}, quiet=quiet).digests
    return np.stack([cache[digest][output].astype(np.float32) for digest in digests])


def _heard(teacher: Teacher, clip: Floats, output: str) -> Floats:
    return _said(teacher, {"waveform": torch.from_numpy(clip)[None], "lengths": torch.tensor([len(clip)])}, output)


def _said(network: Teacher | TeacherHead, batch: Mapping[str, Tensor], output: str) -> Floats:
    """Answer a batch of one clip, shape (classes or width,)."""
    with torch.inference_mode():
        return np.asarray(answer(network, *given(batch))[output][0])
