"""How a recipe with the method `audio-text` becomes a student that hears and reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sercli.methods.audio_text import AudioText
from sercli.methods.base import Method
from sercli.models import students
from sercli.models.fusion import FusedArguments, FusedStudent
from sercli.models.student import StudentArguments
from sercli.models.text_encoder import TextSource

LARGE = 316_600_000  # parameters of HuBERT large and wav2vec 2.0 large, whose fifth the paper trains


def reader_of(methods: Iterable[tuple[str, Method]]) -> AudioText | None:
    """Find the method that makes a student read."""
    return next((method for _, method in methods if isinstance(method, AudioText)), None)


def build_reader(method: Mapping[str, Any]) -> AudioText:
    """Build it from a recipe's `method`, which names it.

    Raises:
        RecipeError: an unknown argument, or a bad value
    """
    return AudioText.from_arguments(f"method.{AudioText.name}", method[AudioText.name] or {})


def source_of(reader: AudioText) -> TextSource:
    """Where its text encoder comes from."""
    return TextSource(reader.encoder, reader.revision)


def fused_arguments(method: Mapping[str, Any], architecture: str, audio: StudentArguments) -> FusedArguments:
    """Sizes of a student that reads.

    Args:
        method: the recipe's, which names `audio-text`
        architecture: of the audio student
        audio: its sizes

    Raises:
        RecipeError: an unknown argument of the method, or a bad value
    """
    reader = build_reader(method)
    return FusedArguments(
        embedding=reader.embedding,
        dropout=audio.dropout,
        dimensions=audio.dimensions,
        audio=architecture,
        audio_arguments=students.arguments_dict(audio),
        text=reader.encoder,
        revision=reader.revision,
        trained_text=reader.trained_text,
        fusion=reader.fusion,
        pooling=reader.pooling,
    )


def parts_of(student: FusedStudent) -> dict[str, Any]:
    """Count the parameters of audio branch, text encoder and fusion, and what of them is trained."""
    audio, text = students.parameter_count(student.audio), students.parameter_count(student.text)
    whole = students.parameter_count(student)
    trained = whole if student.text.trained else whole - text
    share = round(100.0 * trained / LARGE, 2)
    parts = {"audio": audio, "text": text, "fusion": whole - audio - text, "trained": trained}
    return {**parts, "trained_percent_of_large": share}
