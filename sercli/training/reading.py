"""Labelling with transcripts: what `sercli predict --text` and `--asr` open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock

from sercli.corpora.table import Utterance
from sercli.errors import AudioError, CorpusError, UsageError
from sercli.evaluation.model import ReadingStudent, open_model
from sercli.models.pretrained import name_and_revision
from sercli.runtime.inputs import Input
from sercli.training.transcripts import Recogniser, read_transcript, recognition, transcript_of


def open_reading(name: str, offline: bool = False) -> ReadingStudent:
    """Open a student that reads.

    Raises:
        UsageError: it only hears
        ModelNotFoundError, BundleError, HubError: as `open_model`
    """
    student = open_model(name, offline=offline).student
    if not isinstance(student, ReadingStudent):
        raise UsageError(f"{name}: hears only; --text and --asr are for a run of the method audio-text")
    return student


def transcripts(text: Path | None, asr: str | None) -> Callable[[Input], str]:
    """Return what finds the transcript of an input; empty where there is none.

    Args:
        text: a transcript, or a folder of them by the inputs' names
        asr: or a model that transcribes, NAME@REVISION or a folder

    Raises:
        UsageError: no such transcript
        ModelNotFoundError, BundleError, RecipeError: as `recognition`
    """
    if asr is not None:
        said, one_by_one = recognition(Recogniser(*name_and_revision(asr))), Lock()

        def heard(source: Input) -> str:
            with one_by_one:
                return _told(lambda: said([Utterance(source.path)])[0])

        return heard
    assert text is not None
    if not text.exists():
        raise UsageError(f"{text}: no such transcript; give a .txt, .srt or .json, or a folder of them")

    def found(source: Input) -> str:
        return _told(lambda: transcript_of(source.path, text) if text.is_dir() else read_transcript(text))

    return found


def _told(find: Callable[[], str]) -> str:
    """Turn what is wrong with one file into a row of its own; the run goes on."""
    try:
        return find()
    except CorpusError as problem:
        raise AudioError(str(problem)) from problem
