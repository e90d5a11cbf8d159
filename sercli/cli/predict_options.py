"""What the options of `sercli predict` mean together: refused before anything is loaded, or made into settings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sercli.cli import extras
from sercli.cli.models import check_window, decision, gate_dbfs
from sercli.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sercli.runtime.batch import Settings
    from sercli.runtime.inputs import Input
    from sercli.runtime.student import Student

ROW_FORMATS = ("table", "csv", "json", "jsonl")
SEGMENT_FORMATS = ("srt", "textgrid", "audacity")
SHARD_FORMATS = ("parquet",)
RESUMABLE = ("csv", "json", "jsonl")
BY_EXTENSION = {".csv": "csv", ".json": "json", ".srt": "srt", ".textgrid": "textgrid"}
"""What --output FILE means without --format; everything else is jsonl."""


def form_of(options: dict[str, Any]) -> str:
    """Name the format of the results."""
    if options["form"]:
        return str(options["form"])
    if options["target"] is not None:
        return BY_EXTENSION.get(Path(options["target"]).suffix.lower(), "jsonl")
    return "table" if sys.stdout.isatty() else "jsonl"


def windowed(form: str, options: dict[str, Any]) -> bool:
    """Whether every window gets a row."""
    return options["timeline"] or options["page"] is not None or form in SEGMENT_FORMATS


def check_options(paths: tuple[str, ...], form: str, options: dict[str, Any]) -> None:
    """Refuse combinations that cannot be meant.

    Raises:
        UsageError: there is one
    """
    if form in SHARD_FORMATS or isinstance(options["target"], str):
        raise UsageError(f"{'--output URL' if isinstance(options['target'], str) else form} needs --engine ray")
    for name in ("address", "shard_size"):
        if options[name] is not None:
            raise UsageError(f"--{name.replace('_', '-')} needs --engine ray")
    if options["raw"] and options["rate"] is None:
        raise UsageError("--raw needs --rate, for example --raw --rate 16000")
    for name in ("rate", "dtype", "channels"):
        if options[name] is not None and not options["raw"]:
            raise UsageError(f"--{name} describes raw PCM; add --raw, or leave it out")
    for name in ("window", "hop"):
        if options[name] is not None and not windowed(form, options):
            raise UsageError(f"--{name} needs --timeline")
    if options["target"] is None and options["resume"]:
        raise UsageError("--resume needs --output")
    if options["target"] is None and options["page"] is None and options["overwrite"]:
        raise UsageError("--overwrite needs --output or --report")
    if options["page"] is not None:
        _check_report(paths, form, options)
    if options["text"] is not None or options["asr"] is not None:
        _check_text(paths, form, options)
    if options["overwrite"] and options["resume"]:
        raise UsageError("--overwrite and --resume exclude each other; choose one")
    if options["resume"] and form not in RESUMABLE:
        raise UsageError(f"--resume cannot continue {form}; use --format {', '.join(RESUMABLE)}")
    if paths.count("-") > 1:
        raise UsageError("standard input (-) can be read only once")
    if "-" in paths:
        if options["resume"]:
            raise UsageError("--resume cannot continue standard input; name files")
        if sys.stdin is None or sys.stdin.isatty():
            raise UsageError(
                "nothing is piped into standard input; pipe audio into it, for example: sercli predict - < a.wav"
            )
    if options["raw"] and any(path != "-" and Path(path).is_dir() for path in paths):
        raise UsageError("--raw reads files and standard input, not folders")


def _check_report(paths: tuple[str, ...], form: str, options: dict[str, Any]) -> None:
    """Refuse what no page can be made of, or would take the place of another, before hours of work."""
    from sercli.runtime.sink import refuse_existing

    if len(paths) != 1 or Path(paths[0]).is_dir():
        raise UsageError("--report is a page of one recording; name one file")
    if paths[0] == "-":
        raise UsageError("--report reads its recording twice, and standard input can be read only once; name a file")
    if options["resume"] or form in SEGMENT_FORMATS:
        raise UsageError(f"--report needs every window as a row; leave out {'--resume' if options['resume'] else form}")
    if not options["overwrite"]:
        refuse_existing(options["page"])


def _check_text(paths: tuple[str, ...], form: str, options: dict[str, Any]) -> None:
    """Refuse transcripts of what has none, or one transcript for several recordings."""
    if options["text"] is not None and options["asr"] is not None:
        raise UsageError("--text and --asr both say what is said; choose one")
    if windowed(form, options):
        raise UsageError("--text and --asr are of whole files; leave --timeline out")
    if options["raw"] or "-" in paths:
        raise UsageError("--text and --asr need files; name them")
    several = len(paths) > 1 or any(Path(path).is_dir() for path in paths)
    if options["text"] is not None and several and not options["text"].is_dir():
        raise UsageError(f"--text {options['text']}: one transcript for several inputs; give a folder of them")


def open_student(options: dict[str, Any]) -> tuple[Student, Callable[[Input], str] | None]:
    """Open the model, and where it is to read, say how the transcript of an input is found."""
    if options["text"] is None and options["asr"] is None:
        from sercli.runtime.student import load

        return load(options["model"], precision=options["precision"], offline=options["offline"]), None
    extras.require("train", f"sercli predict --{'text' if options['asr'] is None else 'asr'}")
    from sercli.training.reading import open_reading, transcripts

    return open_reading(options["model"], options["offline"]), transcripts(options["text"], options["asr"])


def settings_of(
    student: Student, form: str, options: dict[str, Any], text: Callable[[Input], str] | None = None
) -> Settings:
    """Build the settings of a run from the options; form as in `--format`, text says what is said in an input."""
    from sercli.audio import RawFormat
    from sercli.runtime.batch import Settings

    check_window(student, options)
    raw = RawFormat(options["rate"], options["dtype"] or "s16le", options["channels"] or 1) if options["raw"] else None
    if options["scale"] and not options["scale"][0] < options["scale"][1]:
        raise UsageError("--scale LOW HIGH: the lower end comes first, such as --scale 1 7")
    if options["scale"] and "dimensions" not in student.config.heads:
        raise UsageError(f"--scale is of arousal, valence and dominance, which {student.config.name} does not rate")
    return Settings(
        decision=decision(student, options),
        timeline=windowed(form, options),
        window_seconds=options["window"],
        hop_seconds=options["hop"],
        gate_dbfs=gate_dbfs(options),
        top=options["top"],
        raw=raw,
        text=text,
        scale=options["scale"] or (0.0, 1.0),
    )
