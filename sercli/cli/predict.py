"""`sercli predict`: label files, folders and standard input."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sercli.cli import output
from sercli.cli.models import model_option, offline_option
from sercli.errors import OutputError, SercliError, UsageError

if TYPE_CHECKING:
    from sercli.runtime.batch import Report, Settings, Workers
    from sercli.runtime.inputs import Inputs
    from sercli.runtime.student import Student

ROW_FORMATS = ("table", "csv", "json", "jsonl")
SEGMENT_FORMATS = ("srt", "textgrid", "audacity")
SHARD_FORMATS = ("parquet",)
RESUMABLE = ("csv", "json", "jsonl")
PCM_CHOICES = ("u8", "s8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be")
BY_EXTENSION = {".csv": "csv", ".json": "json", ".srt": "srt", ".textgrid": "textgrid"}
"""What --output FILE means without --format; everything else is jsonl."""


class FileOrUrl(click.Path):
    """A path; a URL stays text."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Leave a URL as it is."""
        return value if isinstance(value, str) and "://" in value else super().convert(value, param, ctx)


@click.command(
    epilog="Exit codes: 0 all labelled, 1 nothing labelled, 2 wrong usage, 3 some inputs failed, 130 Ctrl-C."
)
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(allow_dash=True))
@model_option
@offline_option
@click.option(
    "-f",
    "--format",
    "form",
    type=click.Choice(ROW_FORMATS + SEGMENT_FORMATS + SHARD_FORMATS),
    help="Default: table on a terminal, jsonl when piped, by extension with --output. "
    "srt, textgrid and audacity imply --timeline; parquet is for --engine ray.",
)
@click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    type=FileOrUrl(path_type=Path),
    help="Write results here instead of standard output; a folder for srt, textgrid and audacity of several inputs, "
    "a folder or URL for --engine ray.",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing --output.")
@click.option(
    "--resume", is_flag=True, help="Continue an interrupted --output (csv, json, jsonl): label what it lacks."
)
@click.option("--timeline", is_flag=True, help="One row per window instead of one per file.")
@click.option(
    "--window",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Length of a timeline's window.  [default: the model's, usually 3]",
)
@click.option(
    "--hop",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Distance of the windows' starts.  [default: the model's, usually 1]",
)
@click.option(
    "--silence",
    type=click.FloatRange(-200, 0),
    metavar="DBFS",
    help="What stays below this level is silence.  [default: -60]",
)
@click.option("--top", type=click.IntRange(1), metavar="N", help="Scores of the N best classes only, best first.")
@click.option("--labels", metavar="A,B,...", help="Choose among these classes only; their scores sum to 1.")
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Label 'uncertain' below this score; 0 never.  [default: the model's calibrated one]",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "int8"]),
    default="float32",
    show_default=True,
    help="Which graph of the bundle to run.",
)
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Files or windows at once.  [default: all cores]")
@click.option("--raw", is_flag=True, help="Inputs are headerless PCM; needs --rate.")
@click.option("--rate", type=click.IntRange(1), metavar="HZ", help="Sample rate of raw PCM.")
@click.option("--dtype", type=click.Choice(PCM_CHOICES), help="Sample format of raw PCM.  [default: s16le]")
@click.option("--channels", type=click.IntRange(1), metavar="N", help="Channels of raw PCM.  [default: 1]")
@click.option("--stdin-name", default="-", metavar="NAME", show_default=True, help="What results call standard input.")
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: on a cluster, to a folder of shards; inputs may also be patterns, tables (.csv, .jsonl) and URLs.",
)
@click.option("--address", metavar="HOST:PORT", help="Ray cluster, or auto.  [default: start one on this machine]")
@click.option(
    "--shard-size", type=click.IntRange(1), metavar="N", help="Files per shard of --engine ray.  [default: 1000]"
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no summary; failures are still told.")
@click.option("-v", "--verbose", is_flag=True, help="Tell the model, the threads and the speed.")
def predict(paths: tuple[str, ...], **options: Any) -> int:
    """Label speech with the emotion heard in it.

    PATH is an audio file of any kind (wav, flac, ogg, opus, mp3, aiff ...), a folder (searched through,
    in order of names), or - for an audio file on standard input.

    A row has path, start, end, label, score, scores, model, seconds, status (ok, silence, error), error.
    CSV has one column score_CLASS per class. A file that cannot be read becomes a row with status error,
    and the run goes on.
    """
    from time import monotonic

    if options["engine"] == "ray":
        from sercli.cli.predict_scaled import predict_scaled

        return predict_scaled(paths, options)
    begin = monotonic()
    form = _format(options)
    _check_options(paths, form, options)
    from sercli.runtime.batch import Report, Workers, usable_cores
    from sercli.runtime.inputs import Inputs, refuse_input_as_output
    from sercli.runtime.student import load

    threads = options["threads"] or usable_cores()
    student = load(options["model"], precision=options["precision"], offline=options["offline"])
    settings = settings_of(student, form, options)
    inputs = Inputs(paths, options["stdin_name"])
    if options["target"] is not None:
        refuse_input_as_output(options["target"], paths)
    if options["verbose"]:
        output.note(f"model {student.id}, {student.config.parameters} parameters, {threads} threads")
    report = Report()
    write = _write_segments if form in SEGMENT_FORMATS else _write_rows
    try:
        with Workers(threads) as workers:
            write(student, inputs, settings, workers, report, form, options)
    except KeyboardInterrupt:
        if not options["quiet"]:
            again = "; continue with --resume" if options["target"] is not None and form in RESUMABLE else ""
            output.note(f"{report}{again}")
        raise
    report.skipped = inputs.skipped
    return tell(report, paths, monotonic() - begin, options)


def _format(options: dict[str, Any]) -> str:
    if options["form"]:
        return str(options["form"])
    if options["target"] is not None:
        return BY_EXTENSION.get(Path(options["target"]).suffix.lower(), "jsonl")
    return "table" if sys.stdout.isatty() else "jsonl"


def _check_options(paths: tuple[str, ...], form: str, options: dict[str, Any]) -> None:
    """Refuse combinations that cannot be meant, before anything is loaded."""
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
        if options[name] is not None and not options["timeline"] and form not in SEGMENT_FORMATS:
            raise UsageError(f"--{name} needs --timeline")
    if options["target"] is None and (options["overwrite"] or options["resume"]):
        raise UsageError("--overwrite and --resume need --output")
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


def settings_of(student: Student, form: str, options: dict[str, Any]) -> Settings:
    """Build the settings of a run from the options; form as in `--format`."""
    from sercli.audio import RawFormat
    from sercli.runtime.batch import Settings
    from sercli.runtime.windows import SILENCE_DBFS

    labels = options["labels"]
    wanted = None if labels is None else [label.strip() for label in labels.split(",") if label.strip()]
    raw = RawFormat(options["rate"], options["dtype"] or "s16le", options["channels"] or 1) if options["raw"] else None
    window = options["window"]
    if window is not None and window < student.config.min_seconds:
        raise UsageError(f"--window must be at least {student.config.min_seconds:g} s for {student.config.name}")
    return Settings(
        decision=student.decision(wanted, options["threshold"]),
        timeline=options["timeline"] or form in SEGMENT_FORMATS,
        window_seconds=window,
        hop_seconds=options["hop"],
        gate_dbfs=SILENCE_DBFS if options["silence"] is None else options["silence"],
        top=options["top"],
        raw=raw,
    )


def _write_rows(
    student: Student, inputs: Inputs, settings: Settings, workers: Workers, report: Report, form: str, options: Any
) -> None:
    """Write a row per outcome as it comes; whatever happens, what is written is valid."""
    from sercli.cli.progress import progress_bar
    from sercli.runtime.batch import label
    from sercli.runtime.resume import Earlier, read_earlier
    from sercli.runtime.rows import row_of
    from sercli.runtime.sink import output_file, standard_output
    from sercli.runtime.writers import writer_for

    target = options["target"]
    writer = writer_for(form, settings.decision.classes, settings.timeline)
    earlier = read_earlier(target, writer, student, settings) if options["resume"] else Earlier()
    report.resumed, report.failed = len(earlier.done) - earlier.failed, earlier.failed
    with ExitStack() as stack:
        if target is None:
            sink = stack.enter_context(standard_output())
        else:
            keep = earlier.keep if options["resume"] else None
            sink = stack.enter_context(output_file(target, overwrite=options["overwrite"], keep=keep))
        wanted = not options["quiet"] and not inputs.single and (target is not None or not sys.stdout.isatty())
        bar = stack.enter_context(progress_bar(wanted, inputs.total, len(earlier.done)))
        if not earlier.rows:
            sink.write(writer.head())
        first = not earlier.rows
        try:
            for outcome in label(student, inputs, settings, workers, earlier.done):
                sink.write(writer.row(row_of(outcome, student.id, settings), first))
                first = False
                report.count(outcome)
                bar.update(int(outcome.last))
        except BaseException:
            sink.cut()
            with suppress(OutputError, BrokenPipeError):  # the first failure is the one to tell
                sink.write(writer.tail())
            raise
        sink.write(writer.tail())


def _write_segments(
    student: Student, inputs: Inputs, settings: Settings, workers: Workers, report: Report, form: str, options: Any
) -> None:
    """Write each input's segments once all of them are known; a failed input writes nothing."""
    from sercli.cli.progress import progress_bar
    from sercli.runtime.batch import label
    from sercli.runtime.segments import EXTENSIONS, FORMATS, prepare_folder, segments, write_below
    from sercli.runtime.sink import output_file, standard_output

    target = options["target"]
    if not inputs.single:
        if target is None:
            raise UsageError(f"{form} of several inputs needs --output FOLDER, one file for each")
        prepare_folder(target, options["overwrite"])
    with ExitStack() as stack:
        bar = stack.enter_context(progress_bar(not (options["quiet"] or inputs.single), inputs.total))
        windows = []
        for outcome in label(student, inputs, settings, workers, set()):
            report.count(outcome)
            if outcome.prediction is not None:
                windows.append(outcome.prediction)
            if not outcome.last:
                continue
            bar.update(1)
            text, windows = FORMATS[form](segments(windows)), []
            if outcome.error:
                continue
            if not inputs.single:
                write_below(target, outcome.source.relative, EXTENSIONS[form], text, options["overwrite"])
                continue
            chosen = standard_output() if target is None else output_file(target, overwrite=options["overwrite"])
            stack.enter_context(chosen).write(text)


def tell(report: Report, paths: tuple[str, ...], seconds: float, options: dict[str, Any]) -> int:
    """Name the failures, sum up, and return the exit code."""
    for failure in report.failures:
        output.error(failure)
    more = report.failed - len(report.failures)
    if more and report.failures:
        output.error(f"... and {more} more; their rows have status error")
    if not (report.done or report.failed or report.resumed):
        kinds = ", ".join(f"{kind} {count}" for kind, count in report.skipped.most_common(5))
        skipped = f" (skipped: {kinds})" if kinds else ""
        raise SercliError(f"no audio files in {', '.join(paths)}{skipped}; name a file to try it whatever it is called")
    if not options["quiet"] and (len(paths) > 1 or report.done != 1 or report.skipped or report.resumed):
        output.note(str(report))
    if options["verbose"]:
        output.note(f"{report.seconds:.1f} s of audio in {seconds:.2f} s, {report.seconds / seconds:.0f} x real time")
    return int(report.exit_code)
