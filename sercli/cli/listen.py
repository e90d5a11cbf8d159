"""`sercli listen`: a live readout of the microphone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sercli.cli import output
from sercli.cli.models import (
    check_window,
    decision,
    gate_dbfs,
    labels_option,
    model_option,
    offline_option,
    silence_option,
    threshold_option,
)
from sercli.cli.options import Choice, precision_option
from sercli.errors import MicrophoneError, UsageError

if TYPE_CHECKING:
    from sercli.live.microphone import Microphone
    from sercli.live.recorder import Recorder
    from sercli.live.replay import Replay
    from sercli.live.screen import Screen
    from sercli.live.session import Hop, Settings
    from sercli.live.stop import Stop
    from sercli.runtime.student import Student

FORMATS = ("screen", "lines", "jsonl")
POSITIVE = click.FloatRange(0, min_open=True)


@click.command(epilog="Exit codes: 0 ended (also by Ctrl-C), 1 failed, 2 wrong usage.")
@click.option("--devices", is_flag=True, help="List the inputs and end.")
@click.option(
    "-d",
    "--device",
    metavar="NAME|INDEX",
    help="Input: its number, name or a part of it, such as `--device usb`.  [default: the system's]",
)
@click.option(
    "--channels", type=click.IntRange(1), metavar="N", help="Channels to open and average, such as `2`.  [default: 1]"
)
@model_option
@offline_option
@click.option(
    "-f",
    "--format",
    "form",
    type=Choice(FORMATS),
    help="screen: live view; lines: a line when the label changes; jsonl: an object per hop.  "
    "[default: screen on a terminal (lines if it is a dumb one), jsonl when piped]",
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Keep the JSON lines too.  [default: not kept]",
)
@click.option(
    "--record",
    type=click.Path(path_type=Path),
    metavar="FILE.wav",
    help="Keep the audio, at the device's own rate.  [default: not kept]",
)
@click.option("--overwrite", is_flag=True, help="Replace an existing --output or --record.")
@click.option(
    "--duration",
    type=POSITIVE,
    metavar="SECONDS",
    help="End after so much audio, such as `600`.  [default: go on until Ctrl-C]",
)
@click.option(
    "--replay",
    metavar="FILE",
    type=click.Path(allow_dash=True),
    help="Listen to a file (- is standard input) in real time.  [default: a microphone]",
)
@click.option("--fast", is_flag=True, help="Replay as fast as it goes.")
@click.option(
    "--window",
    type=POSITIVE,
    metavar="SECONDS",
    help="What one result hears, such as `2`.  [default: the model's, usually 3]",
)
@click.option(
    "--hop",
    type=POSITIVE,
    default=0.25,
    show_default=True,
    metavar="SECONDS",
    help="From result to result, such as `0.5`.",
)
@click.option(
    "--smoothing",
    type=click.FloatRange(0),
    default=0.5,
    show_default=True,
    metavar="SECONDS",
    help="Time constant of the smoothed scores, such as `1`; 0 is none.",
)
@click.option(
    "--speech",
    type=click.FloatRange(0),
    default=0.5,
    show_default=True,
    metavar="SECONDS",
    help="Speech that a window must hold before anything is claimed, such as `1`.",
)
@silence_option
@labels_option
@threshold_option
@precision_option
@click.option(
    "--on",
    "events",
    multiple=True,
    metavar="LABEL=COMMAND",
    help="Run a command when a label begins, 'uncertain' and 'silence' too, such as `angry='notify-send angry'`; it "
    "sees SERCLI_LABEL, SERCLI_SCORE, SERCLI_START, SERCLI_END and SERCLI_TIME. Can be repeated.  [default: none]",
)
@click.option("--shell", is_flag=True, help="Give the commands of --on to the shell.")
@click.option(
    "--on-every",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="Least time between two runs of one command, such as `60`.",
)
@click.option("-q", "--quiet", is_flag=True, help="No notes, no summary; errors are still told.")
@click.option("-v", "--verbose", is_flag=True, help="Tell the model and, at the end, latency and work.")
def listen(**options: Any) -> int:
    """Follow the emotion of a voice live.

    A result hears the last few seconds, comes every hop, and claims nothing without speech; its label follows
    smoothed scores and changes only for a clearly better one. Ctrl-C ends.

    A JSON line has time, start, end, speech, label, score, scores (of this window alone, those of
    predict --timeline), smoothed, level_db, latency_ms; arousal, valence and dominance where the model has them.
    """
    form = _format(options["form"])
    _check_options(options, form)
    if options["devices"]:
        return _list_devices(options["form"] or ("lines" if sys.stdout.isatty() else "jsonl"))
    from sercli.live.stop import Stop, ended_by_signals
    from sercli.runtime.student import load

    student = load(options["model"], precision=options["precision"], offline=options["offline"])
    with ended_by_signals(Stop()) as stop:
        return _listen(student, form, stop, options)


def _format(wanted: str | None) -> str:
    if wanted:
        return wanted
    from sercli.live.screen import can_draw

    if not sys.stdout.isatty():
        return "jsonl"
    return "screen" if can_draw(sys.stdout) else "lines"


def _check_options(options: dict[str, Any], form: str) -> None:
    """Refuse combinations that cannot be meant, before anything is loaded."""
    from sercli.runtime.inputs import refuse_input_as_output

    if options["replay"] is not None:
        for name in ("device", "channels", "record"):
            if options[name] is not None:
                raise UsageError(f"--{name} belongs to a microphone; leave it out, or leave out --replay")
    elif options["fast"]:
        raise UsageError("--fast needs --replay FILE; a microphone has only one speed")
    if options["overwrite"] and options["target"] is None and options["record"] is None:
        raise UsageError("--overwrite needs --output or --record")
    if options["replay"] == "-" and (sys.stdin is None or sys.stdin.isatty()):
        raise UsageError("nothing is piped into standard input; pipe an audio file into it, or name one")
    if options["target"] is not None and options["replay"] is not None:
        refuse_input_as_output(options["target"], [options["replay"]])
    if options["target"] is not None and options["target"] == options["record"]:
        raise UsageError("--output and --record are two files; name them differently")
    if options["record"] is not None and options["record"].suffix.lower() != ".wav":
        raise UsageError(f"--record writes WAV; call it {options['record'].with_suffix('.wav')}")
    if options["shell"] and not options["events"]:
        raise UsageError("--shell needs --on LABEL=COMMAND")
    if form == "screen" and not options["devices"] and not sys.stdout.isatty():
        raise UsageError("--format screen needs a terminal; use jsonl or lines")


def _list_devices(form: str) -> int:
    """Print the inputs on standard output: a table, the default marked, or an object per line."""
    import json
    from dataclasses import asdict

    from sercli.live.devices import devices

    for device in devices():
        if form == "jsonl":
            output.result(json.dumps(asdict(device), ensure_ascii=False))
        else:
            mark = "*" if device.default else " "
            output.result(
                f"{mark} {device.index:>3}  {device.channels:>2} channels  {device.rate:>6} Hz  {device.name}"
            )
    return 0


class _Notes:
    """Messages while listening: on the screen as long as there is one, and on standard error."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self.screen: Screen | None = None
        self._later: list[str] = []

    def tell(self, message: str) -> None:
        """Say it now, and what matters later once more where it stays readable."""
        from sercli.live.microphone import READY

        if self.screen is not None:
            self.screen.note(message)
            if message != READY:
                self._later.append(message)
        elif not self._quiet:
            output.note(message)

    def leave(self) -> None:
        """The screen is gone."""
        self.screen = None
        for message in self._later:
            self.tell(message)


def _listen(student: Student, form: str, stop: Stop, options: dict[str, Any]) -> int:
    """Open everything, listen to the end, and sum up, also where the end is a microphone that has gone."""
    import time

    from sercli.live.lines import Summary
    from sercli.live.session import Session

    settings = _settings(student, options)
    notes = _Notes(options["quiet"])
    summary, worst = Summary(settings.hop_seconds), 0.0
    gone: MicrophoneError | None = None
    with ExitStack() as stack:
        commands = _commands(stack, settings.decision.classes, form, notes, options)
        source = _source(stack, stop, notes, options)  # before any file is made, which would be in the way next time
        reactions = [*_kept(stack, options), *commands]
        recorder = _recorder(stack, source, options)
        title = f"{student.config.name} listens to {source.name}: "
        title += f"{settings.window_seconds:g} s every {settings.hop_seconds:g} s"
        notes.tell(f"{title}, smoothing {settings.smoothing_seconds:g} s")
        show, heard = _readout(stack, form, title, student, settings, notes)
        session = Session(student, source, settings, recorder, heard)
        begin = time.process_time()
        try:
            for hop in session.hops():
                show(hop)
                for reaction in reactions:
                    reaction(hop)
                summary.count(hop)
                worst = max(worst, hop.latency_ms)
        except MicrophoneError as problem:
            gone = problem
    notes.tell(summary.text(session.seconds, source.lost_seconds))
    if options["verbose"] and session.seconds:
        work = (time.process_time() - begin) / session.seconds
        output.note(f"model {student.id}; {work:.1%} of a core per second of audio, latency at most {worst:.0f} ms")
    if gone is not None:
        raise gone
    return 0


def _settings(student: Student, options: dict[str, Any]) -> Settings:
    from sercli.live.session import Settings

    check_window(student, options)
    return Settings(
        decision=decision(student, options),
        window_seconds=student.config.window_seconds if options["window"] is None else options["window"],
        hop_seconds=options["hop"],
        smoothing_seconds=options["smoothing"],
        speech_seconds=options["speech"],
        gate_dbfs=gate_dbfs(options),
        duration_seconds=options["duration"],
    )


def _source(stack: ExitStack, stop: Stop, notes: _Notes, options: dict[str, Any]) -> Microphone | Replay:
    from sercli.live.microphone import Microphone
    from sercli.live.replay import Replay

    if options["replay"] is not None:
        return stack.enter_context(Replay(options["replay"], options["fast"], stop))
    return stack.enter_context(Microphone(options["device"], options["channels"], stop, notes.tell))


def _recorder(stack: ExitStack, source: Microphone | Replay, options: dict[str, Any]) -> Recorder | None:
    from sercli.live.microphone import Microphone
    from sercli.live.recorder import Recorder

    if options["record"] is None or not isinstance(source, Microphone):
        return None
    recorder = Recorder(options["record"], source.rate, source.channels, options["overwrite"])
    return stack.enter_context(recorder)


def _readout(
    stack: ExitStack, form: str, title: str, student: Student, settings: Settings, notes: _Notes
) -> tuple[Callable[[Hop], object], Callable[[float, float], object] | None]:
    """Return what shows a hop on standard output, and what shows the level in between."""
    from sercli.live.lines import PlainLines, json_line
    from sercli.runtime.sink import standard_output

    if form == "screen":
        from sercli.live.screen import Screen
        from sercli.live.view import View
        from sercli.runtime.prediction import DIMENSIONS

        dimensions = DIMENSIONS if "dimensions" in student.config.heads else ()
        view = View(title, settings.decision.classes, dimensions, settings.hop_seconds)
        stack.callback(notes.leave)
        notes.screen = stack.enter_context(Screen(view, sys.stdout))
        return notes.screen.hop, notes.screen.heard
    sink = stack.enter_context(standard_output())
    text = json_line if form == "jsonl" else PlainLines().line
    return lambda hop: sink.write(text(hop)), None


def _commands(
    stack: ExitStack, classes: tuple[str, ...], form: str, notes: _Notes, options: dict[str, Any]
) -> list[Callable[[Hop], object]]:
    """Return what runs the commands of --on."""
    from sercli.live.commands import Commands, Event

    events = [Event.parse(text, classes, options["shell"]) for text in options["events"]]
    if not events:
        return []
    printed = subprocess.DEVNULL if form == "screen" else sys.stderr.fileno()
    commands = Commands(
        events, shell=options["shell"], every_seconds=options["on_every"], tell=notes.tell, output=printed
    )
    stack.callback(commands.close)
    return [commands.hop]


def _kept(stack: ExitStack, options: dict[str, Any]) -> list[Callable[[Hop], object]]:
    """Return what writes the lines of --output."""
    from sercli.live.lines import json_line
    from sercli.runtime.sink import output_file

    if options["target"] is None:
        return []
    sink = stack.enter_context(output_file(options["target"], overwrite=options["overwrite"]))
    return [lambda hop: sink.write(json_line(hop))]
