"""A model under test: how it answers, what identifies it, and whom it has heard in training."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sercli.corpora.splits import Speaker
from sercli.corpora.table import Utterance
from sercli.errors import BundleError, UsageError
from sercli.hub.find import find
from sercli.runtime.bundle import CONFIG_FILE, ONNX_FILES, BundleConfig
from sercli.runtime.student import ID_DIGITS, Precision, Student, load

CHECKPOINT = "checkpoint.json"
READS = "audio-text"
"""Architecture of students that read transcripts beside hearing."""


@dataclass(frozen=True)
class Heard:
    """Speakers a model was fitted to."""

    train: frozenset[Speaker]
    """Their clips set the weights."""
    dev: frozenset[Speaker]
    """Their clips chose the epoch or calibrated the scores."""

    def __contains__(self, utterance: Utterance) -> bool:
        speaker = (utterance.corpus, utterance.speaker)
        return speaker in self.train or speaker in self.dev


@dataclass(frozen=True)
class Model:
    """One model to measure."""

    student: Student
    kind: str
    """`bundle`, or `run` for the folder of a training run"""
    folder: Path
    precision: Precision
    sha256: dict[str, str]
    """file name to the hash of what answers"""
    heard: Heard | None
    """None where the model does not say"""
    texts: Callable[[Sequence[Utterance]], list[str]] | None = None
    """finds what is said in utterances, as the model was trained with; None for one that does not read"""

    @contextmanager
    def answering(self) -> Iterator[Student]:
        """Lend the student to several threads, in each of which torch would otherwise start threads of its own."""
        if self.kind == "bundle":
            yield self.student
            return
        import torch

        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # micro with two: 1.6 times the CPU time and no sooner done
        try:
            yield self.student
        finally:
            torch.set_num_threads(threads)

    def identity(self) -> dict[str, Any]:
        """What metrics.json says of the model."""
        return {
            "kind": self.kind,
            "name": self.student.config.name,
            "id": self.student.id,
            "sha256": self.sha256,
            "precision": self.precision,
            "parameters": self.student.config.parameters,
            "labels": list(self.student.labels),
            "temperature": self.student.config.temperature,
        }


def open_model(
    name: str | os.PathLike[str], precision: Precision = "float32", *, offline: bool = False, mode: str = ""
) -> Model:
    """Open a model for testing.

    Args:
        name: a student of the zoo, `hf:owner/repo@revision`, a bundle folder, or the folder of a run that
            `sercli train` finished
        precision: of a bundle; runs have float32 only
        offline: use what is cached of the Hub, or fail
        mode: of a student that reads: audio, text or both; empty = as it was trained

    Raises:
        UsageError: a mode of a student that does not read
        ModelNotFoundError, HubError, BundleError: there is none, it cannot be had, or it is incomplete or altered
    """
    found = find(name, offline=offline)
    found.verify()
    folder = found.folder
    if (folder / CONFIG_FILE).exists() or not (folder / CHECKPOINT).exists():
        student = load(folder, precision=precision)
        file = folder / ONNX_FILES[precision]
        hashes = {file.name: _sha256(file)}
        if mode:
            raise UsageError(f"{name}: --mode is of a student that reads, and this one only hears; leave it out")
        return Model(student, "bundle", folder, precision, hashes, heard_by(folder / "metrics.json"))
    if precision != "float32":
        raise BundleError(
            f"{folder}: a training run has no {precision} graph; make a bundle of it with `sercli export`"
        )
    return _open_run(folder, mode)


def _open_run(folder: Path, mode: str) -> Model:
    """Let a trained student or teacher answer through the windows, silence gate and averaging of a bundle."""
    from sercli.models.teacher import ARCHITECTURE
    from sercli.training.export import bundle_config, load_student
    from sercli.training.fused import build_reader
    from sercli.training.recipe_file import load_resolved

    checkpoint = json.loads((folder / CHECKPOINT).read_text(encoding="utf-8"))
    recipe = load_resolved(folder / "recipe.yaml")
    network: Any
    if mode and checkpoint["architecture"] != READS:
        raise UsageError(f"{folder}: --mode is of a student that reads, and this one only hears; leave it out")
    if checkpoint["architecture"] == ARCHITECTURE:
        from sercli.training.teacher_run import load_teacher

        network = load_teacher(folder, checkpoint)
        facts = bundle_config(checkpoint, recipe.export, network.head.embedding, network.head.further)
    else:
        network = load_student(folder, checkpoint)
        facts = bundle_config(checkpoint, recipe.export, network.arguments.embedding, network.further)
    config = BundleConfig.from_values(facts, str(folder))
    weights = folder / "model.safetensors"
    digest = _sha256(weights)
    hashes, heard = {weights.name: digest}, heard_by(folder / "metrics.json")
    identity = f"{config.name}@{digest[:ID_DIGITS]}"
    if checkpoint["architecture"] == READS:
        from sercli.training.transcripts import transcripts_of

        reader = build_reader(recipe.method)
        student = ReadingStudent(config, network, identity, mode or reader.mode)
        texts = partial(transcripts_of, method=reader)
        return Model(student, "run", folder, "float32", hashes, heard, texts)
    return Model(Student(config, _TorchSession(network), identity), "run", folder, "float32", hashes, heard)


class ReadingStudent(Student):
    """A student that hears and reads, in torch; by sound alone until it is given a transcript.

    Args:
        config: of the run
        network: the fused student
        identity: name and digest
        mode: audio, text or both
    """

    def __init__(self, config: BundleConfig, network: Any, identity: str, mode: str) -> None:
        from sercli.models.text_encoder import TextSource, load_tokenizer

        super().__init__(config, _TorchSession(network), identity)
        self._network, self._mode = network, mode
        self._tokenizer = load_tokenizer(TextSource(network.arguments.text, network.arguments.revision))

    def reading(self, text: str) -> Student:
        """Return the student that labels a recording with this transcript; by sound alone if it is empty."""
        import torch

        from sercli.models.text_encoder import reading

        tokens = [] if self._mode == "audio" else self._tokenizer(text)
        read = reading([tokens], torch.tensor([self._mode != "text"]))
        return Student(self.config, _TorchSession(self._network, {"text": read}), self.id)


class _TorchSession:
    """A torch network behind the one method of onnxruntime's session that the runtime calls.

    Args:
        network: takes waveforms and lengths
        further: what else it is given of every clip
    """

    def __init__(self, network: Any, further: dict[str, Any] | None = None) -> None:
        self.network = network
        self.further = further or {}

    def run(self, names: Iterable[str], feed: dict[str, npt.NDArray[Any]]) -> list[npt.NDArray[np.float32]]:
        import torch

        with torch.inference_mode():
            found = self.network(torch.from_numpy(feed["waveform"]), torch.from_numpy(feed["lengths"]), **self.further)
        return [found[name].numpy() for name in names]


def heard_by(metrics: Path) -> Heard | None:
    """Read whom a model was fitted to from its metrics.json; None where that does not say."""
    try:
        material = json.loads(metrics.read_text(encoding="utf-8"))["material"]
        sides = {side: _speakers(material[side]) for side in ("train", "dev")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # written by somebody else, or by hand: nobody can say
    return Heard(**sides)


def _speakers(corpora: dict[str, Any]) -> frozenset[Speaker]:
    return frozenset((corpus, speaker) for corpus, facts in corpora.items() for speaker in facts["speakers"])


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
