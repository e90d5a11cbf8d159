"""`sercli predict`: label files, folders and standard input."""

from __future__ import annotations

import sys
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sercli.cli import output
from sercli.cli.models import (
    labels_option,
    model_option,
    offline_option,
    silence_option,
    threshold_option,
)
from sercli.cli.options import Choice, precision_option
from sercli.cli.predict_options import (
    RESUMABLE,
    ROW_FORMATS,
    SEGMENT_FORMATS,
    SHARD_FORMATS,
    check_options,
    form_of,
    open_student,
    settings_of,
)
from sercli.errors import OutputError, SercliError, UsageError

if TYPE_CHECKING:
    from sercli.runtime.batch import Report, Settings, Workers
    from sercli.runtime.inputs import Inputs
    from sercli.runtime.prediction import Prediction
    from sercli.runtime.student import Student

PCM_CHOICES = ("u8", "s8", "s16le", "s16be", "s24le", "s24be", "s32le", "s32be", "f32le", "f32be")


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
    type=Choice(ROW_FORMATS + SEGMENT_FORMATS + SHARD_FORMATS),
    help="srt, textgrid and audacity imply --timeline; parquet is for --engine ray.  [default: table on a terminal, "
    "jsonl when piped, by the extension of --output]",
)
@click.option(
    "-o",
    "--output",
    "target",
    metavar="FILE",
    type=FileOrUrl(path_type=Path),
    help="Write results here; a folder for srt, textgrid and audacity of several inputs, a folder or URL for --engine "
    "ray.  [default: standard output]",
)
@click.option(
    "--report",
    "page",
    metavar="FILE.html",
    type=click.Path(path_type=Path),
    help="Also make a page of one recording: waveform, emotion over time, table, sound; implies --timeline.  "
    "[default: none]",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing --output or --report.")
@click.option(
    "--resume", is_flag=True, help="Continue an interrupted --output (csv, json, jsonl): label what it lacks."
)
@click.option("--timeline", is_flag=True, help="One row per window instead of one per file.")
@click.option(
    "--window",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Length of a timeline's window, such as `--window 2`.  [default: the model's, usually 3]",
)
@click.option(
    "--hop",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="Distance of the windows' starts, such as `--hop 0.5`.  [default: the model's, usually 1]",
)
@silence_option
@click.option(
    "--top",
    type=click.IntRange(1),
    metavar="N",
    help="Scores of the N best classes only, best first, such as `--top 3`.  [default: all classes]",
)
@labels_option
@threshold_option
@precision_option
@click.option(
    "--threads",
    type=click.IntRange(1),
    metavar="N",
    help="Files or windows at once, such as `--threads 2`.  [default: all cores]",
)
@click.option(
    "--scale",
    type=(float, float),
    metavar="LOW HIGH",
    help="Ends of arousal, valence and dominance, such as `--scale 1 7`.  [default: 0 1]",
)
@click.option(
    "--text",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="What is said: a transcript (.txt, .srt, .json of Whisper), or a folder of NAME.txt and so on. For a run of "
    "the method audio-text; needs the extra train.  [default: none]",
)
@click.option(
    "--asr",
    metavar="MODEL",
    help="Let this model transcribe: a folder, or a Hub id such as `openai/whisper-tiny@main`.  [default: none]",
)
@click.option("--raw", is_flag=True, help="Inputs are headerless PCM; needs --rate.")
@click.option(
    "--rate",
    type=click.IntRange(1),
    metavar="HZ",
    help="Sample rate of raw PCM, such as `--rate 16000`.  [default: none, --raw needs it]",
)
@click.option("--dtype", type=Choice(PCM_CHOICES), help="Sample format of raw PCM.  [default: s16le]")
@click.option(
    "--channels",
    type=click.IntRange(1),
    metavar="N",
    help="Interleaved channels of raw PCM, such as `--channels 2`.  [default: 1]",
)
@click.option(
    "--stdin-name",
    default="-",
    metavar="NAME",
    show_default=True,
    help="What results call standard input, such as `call-7`.",
)
@click.option(
    "--engine",
    type=Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="ray: on a cluster, to a folder of shards; inputs may also be patterns, tables (.csv, .jsonl) and URLs.",
)
@click.option(
    "--address",
    metavar="HOST:PORT",
    help="Ray cluster, such as `10.0.0.1:6379`, or `auto`.  [default: start one on this machine]",
)
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    metavar="N",
    help="Files per shard of --engine ray, such as `--shard-size 500`.  [default: 1000]",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no summary; failures are still told.")
@click.option("-v", "--verbose", is_flag=True, help="Tell the model, the threads and the speed.")
def predict(paths: tuple[str, ...], **options: Any) -> int:
    """Label speech with the emotion heard in it.

    PATH is an audio file of any kind (wav, flac, ogg, opus, mp3, aiff ...), a folder (searched through,
    in order of names), or - for an audio file on standard input.

    A row has path, start, end, label, score, scores, model, seconds, status (ok, silence, error), error, and
    arousal, valence, dominance (0 to 1) where the model has them.
    CSV has one column score_CLASS per class. A file that cannot be read becomes a row with status error,
    and the run goes on.
    """
    from time import monotonic

    if options["engine"] == "ray":
        from sercli.cli.predict_scaled import predict_scaled

        return predict_scaled(paths, options)
    begin = monotonic()
    form = form_of(options)
    check_options(paths, form, options)
    from sercli.runtime.batch import Report, Workers, usable_cores
    from sercli.runtime.inputs import Inputs, refuse_input_as_output

    threads = options["threads"] or usable_cores()
    student, text = open_student(options)
    settings = settings_of(student, form, options, text)
    inputs = Inputs(paths, options["stdin_name"])
    for file in filter(None, (options["target"], options["page"])):
        refuse_input_as_output(file, paths)
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


def _write_rows(
    student: Student, inputs: Inputs, settings: Settings, workers: Workers, report: Report, form: str, options: Any
) -> None:
    """Write a row per outcome as it comes; whatever happens, what is written is valid."""
    from sercli.cli.progress import progress_bar
    from sercli.runtime.batch import label
    from sercli.runtime.prediction import DIMENSIONS
    from sercli.runtime.resume import Earlier, read_earlier
    from sercli.runtime.rows import row_of
    from sercli.runtime.sink import output_file, standard_output
    from sercli.runtime.writers import writer_for

    target = options["target"]
    rated = DIMENSIONS if "dimensions" in student.config.heads else ()
    writer = writer_for(form, settings.decision.classes, settings.timeline, rated)
    earlier = read_earlier(target, writer, student, settings) if options["resume"] else Earlier()
    report.resumed, report.failed = len(earlier.done) - earlier.failed, earlier.failed
    with ExitStack() as stack:
        if target is None:
            sink = stack.enter_context(standard_output())
        else:
            keep = earlier.keep if options["resume"] else None
            file = output_file(target, overwrite=options["overwrite"], keep=keep, resumable=form in RESUMABLE)
            sink = stack.enter_context(file)
        wanted = not options["quiet"] and not inputs.single and (target is not None or not sys.stdout.isatty())
        bar = stack.enter_context(progress_bar(wanted, inputs.total, len(earlier.done)))
        if not earlier.rows:
            sink.write(writer.head())
        first = not earlier.rows
        timeline = []
        try:
            for outcome in label(student, inputs, settings, workers, earlier.done):
                sink.write(writer.row(row_of(outcome, student.id, settings), first))
                first = False
                report.count(outcome)
                bar.update(int(outcome.last))
                if options["page"] is not None and outcome.prediction is not None:
                    timeline.append(outcome.prediction)
        except BaseException:
            sink.cut()
            with suppress(OutputError, BrokenPipeError):  # the first failure is the one to tell
                sink.write(writer.tail())
            raise
        sink.write(writer.tail())
    if timeline and not report.failed:
        _write_page(student, inputs, timeline, settings, options)


def _write_page(
    student: Student, inputs: Inputs, timeline: list[Prediction], settings: Settings, options: dict[str, Any]
) -> None:
    """Read the one recording again, for its waveform and its sound, and make the page."""
    from sercli.audio import opened
    from sercli.runtime.page import hear, page
    from sercli.runtime.sink import output_file

    (source,) = inputs
    with opened(source.path, settings.raw) as recording:
        sound = hear(recording.blocks())
    with output_file(options["page"], overwrite=options["overwrite"]) as sink:
        sink.write(page(source.name, sound, timeline, settings.decision.classes, student.id))
    if not options["quiet"]:
        output.note(f"{options['page']}: a page to open in a browser, {sink.size / 1e6:.2f} MB")


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
