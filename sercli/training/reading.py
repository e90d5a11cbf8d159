"""Labelling with transcripts: what `sercli predict --text` and `--asr` open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock

from sercli.audio import read_audio
from sercli.errors import AudioError, CorpusError, UsageError
from sercli.evaluation.model import ReadingStudent, open_model
from sercli.runtime.inputs import Input
from sercli.training.transcripts import Recogniser, read_transcript, transcriber, transcript_of


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
        ModelNotFoundError, BundleError, RecipeError: as `transcriber`
    """
    if asr is not None:
        name, _, revision = asr.partition("@")
        transcribe, _ = transcriber(Recogniser(name, revision))
        one_by_one = Lock()

        def heard(source: Input) -> str:
            signal = read_audio(source.path)
            with one_by_one:
                return transcribe(signal)

        return heard
    assert text is not None
    if not text.exists():
        raise UsageError(f"{text}: no such transcript; give a .txt, .srt or .json, or a folder of them")

    def found(source: Input) -> str:
        try:
            return transcript_of(source.path, text) if text.is_dir() else read_transcript(text)
        except CorpusError as problem:
            raise AudioError(str(problem)) from problem

    return found
