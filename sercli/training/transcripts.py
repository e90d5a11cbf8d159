"""What is said in each clip: from the table, from files beside the audio or in a folder, or from speech recognition.

    .txt    all of it
    .srt    the cues that overlap the utterance
    .json   of Whisper: `segments` with `start`, `end` and `text` likewise, or `text` alone

Recognised transcripts are kept in the cache of teachers' outputs, by model, language and sound: as bytes, each of which
float16 holds exactly, with a zero at the end.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from sercli.audio import SAMPLE_RATE
from sercli.corpora.table import Utterance
from sercli.errors import BundleError, CorpusError, first_line
from sercli.methods.audio_text import ASR, BESIDE, TABLE, AudioText
from sercli.models import pretrained
from sercli.training.teacher_cache import CacheKey, TeacherCache
from sercli.training.teacher_fill import fill

SUFFIXES = (".txt", ".srt", ".json")
WHISPER = "whisper"
WHISPER_SECONDS = 30.0  # longer clips are recognised piece by piece, which needs time stamps
TIMES = re.compile(r"(\d+):(\d\d):(\d\d)[,.](\d{3})\s*-->\s*(\d+):(\d\d):(\d\d)[,.](\d{3}).*")

Cue = tuple[float, float, str]
"""Start and end in seconds, and what is said."""


@dataclass(frozen=True)
class Recogniser:
    """A model that transcribes."""

    name: str
    """local folder, or Hub id such as `openai/whisper-tiny`"""
    revision: str = ""
    """of a Hub id"""
    language: str = ""
    """empty: it finds out itself"""


def transcripts_of(utterances: Sequence[Utterance], method: AudioText, quiet: bool = True) -> list[str]:
    """Find what is said in utterances, as a method asks for it; empty where nobody says.

    Raises:
        CorpusError: a file cannot be read
        BundleError, ModelNotFoundError, RecipeError: as `transcriber`
        OutputError: the cache cannot be written
    """
    if method.transcripts == ASR:
        return recognition(Recogniser(method.asr, method.asr_revision, method.language), quiet)(utterances)
    if method.transcripts == TABLE:
        return [utterance.text for utterance in utterances]
    folder = None if method.transcripts == BESIDE else Path(method.transcripts).expanduser()
    if folder is not None and not folder.is_dir():
        raise CorpusError(f"{folder}: no such folder of transcripts; correct method.{AudioText.name}.transcripts")
    return [transcript_of(u.path, folder, u.start, u.end) for u in utterances]


def transcript_of(path: str, folder: Path | None, start: float = 0.0, end: float = math.nan) -> str:
    """Read the transcript of a clip: the file of its name in a folder, or beside it; empty where there is none.

    Raises:
        CorpusError: it cannot be read
    """
    base = Path(path) if folder is None else folder / Path(path).name
    found = next((base.with_suffix(suffix) for suffix in SUFFIXES if base.with_suffix(suffix).is_file()), None)
    return "" if found is None else read_transcript(found, start, end)


def read_transcript(file: Path, start: float = 0.0, end: float = math.nan) -> str:
    """Read a transcript, or what of it overlaps a stretch of seconds.

    Raises:
        CorpusError: not readable, or not of the format that its ending says
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".srt":
            cues = list(_srt(text))
        elif file.suffix.lower() == ".json":
            cues = _whisper(json.loads(text))
        else:
            cues = [(0.0, math.inf, text)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        reason = first_line(problem)
        raise CorpusError(
            f"{file}: not a transcript of that kind ({reason}); .txt, .srt or .json of Whisper"
        ) from problem
    last = math.inf if math.isnan(end) else end
    return " ".join(" ".join(said.split()) for begins, ends, said in cues if begins < last and ends > start).strip()


def _srt(text: str) -> Iterator[Cue]:
    for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n").strip()):
        lines = block.split("\n")
        place = next((number for number, line in enumerate(lines) if TIMES.fullmatch(line.strip())), None)
        if place is None:
            raise ValueError(f"no times in {lines[0]!r}")
        match = TIMES.fullmatch(lines[place].strip())
        assert match is not None
        h, m, s, ms, *rest = map(int, match.groups())
        ends = rest[0] * 3600 + rest[1] * 60 + rest[2] + rest[3] / 1000
        yield h * 3600 + m * 60 + s + ms / 1000, ends, " ".join(lines[place + 1 :])


def _whisper(values: dict[str, Any]) -> list[Cue]:
    if segments := values.get("segments"):
        return [(float(part["start"]), float(part["end"]), str(part["text"])) for part in segments]
    return [(0.0, math.inf, str(values["text"]))]


def recognition(recogniser: Recogniser, quiet: bool = True) -> Callable[[Sequence[Utterance]], list[str]]:
    """Return what transcribes utterances, or takes from the cache what was transcribed.

    Args:
        recogniser: which model
        quiet: no progress bar, no statement of the space needed

    Raises:
        BundleError, ModelNotFoundError, RecipeError: as `transcriber`; what is returned raises as `fill`
    """
    transcribe, sha256 = transcriber(recogniser)
    settings = {"states": "transcript", "language": recogniser.language}
    cache = TeacherCache(CacheKey(recogniser.name, sha256, settings))

    def said(utterances: Sequence[Utterance]) -> list[str]:
        filled = fill(cache, utterances, lambda clip: {"transcript": _bytes(transcribe(clip))}, quiet=quiet)
        return [bytes(cache[digest]["transcript"].astype(np.uint8))[:-1].decode("utf-8") for digest in filled.digests]

    return said


def _bytes(text: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(text.encode("utf-8") + b"\0", np.uint8)


def transcriber(recogniser: Recogniser) -> tuple[Callable[[npt.NDArray[np.float32]], str], str]:
    """Load a model that transcribes: Whisper or another encoder-decoder, or one with a CTC head.

    Returns:
        function of a clip, mono float32 at 16 kHz, and the sha256 of the weights

    Raises:
        BundleError: no such model, or weights that are missing or damaged
        ModelNotFoundError, RecipeError: as `pretrained.find`
    """
    import transformers

    files = pretrained.find(recogniser.name, recogniser.revision)
    try:
        library: Any = transformers
        config: Any = library.AutoConfig.from_pretrained(files.folder, local_files_only=True, trust_remote_code=False)
        decodes = getattr(config, "is_encoder_decoder", False)
        kind: Any = library.AutoModelForSpeechSeq2Seq if decodes else library.AutoModelForCTC
        model = pretrained.load(kind, files, config).eval()
        options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        tokenizer: Any = library.AutoTokenizer.from_pretrained(files.folder, **options)
        extractor: Any = library.AutoFeatureExtractor.from_pretrained(files.folder, **options)
        run: Any = library.pipeline(
            "automatic-speech-recognition", model=model, tokenizer=tokenizer, feature_extractor=extractor
        )
    except (OSError, ValueError, KeyError) as problem:
        reason = first_line(problem)
        raise BundleError(
            f"{recogniser.name}: not a model that transcribes ({reason}); take one such as openai/whisper-tiny"
        ) from problem
    whisper = files.settings.get("model_type") == WHISPER
    said = {"generate_kwargs": {"language": recogniser.language}} if recogniser.language else {}

    def transcribe(clip: npt.NDArray[np.float32]) -> str:
        long = {"return_timestamps": True} if whisper and len(clip) > WHISPER_SECONDS * SAMPLE_RATE else {}
        with pretrained.quiet():
            return str(run({"raw": clip, "sampling_rate": SAMPLE_RATE}, **said, **long)["text"]).strip()

    return transcribe, pretrained.weights_sha256(model)
