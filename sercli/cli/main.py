"""The `sercli` command: finds the verb, runs it, turns every ending into an exit code.

Only click and the standard library may be imported here, and command modules import their engines
inside the function: `sercli --help`, `--version` and TAB completion stay as fast as click itself.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from sercli.cli import output
from sercli.errors import ExitCode, SercliError

GROUPS = {
    "Use": {
        "predict": "Label speech files, folders or standard input.",
        "listen": "Follow the emotion of a voice live, from the microphone.",
        "doctor": "Examine this installation, and say what mends it.",
    },
    "Build": {
        "new": "Make a project for recordings of your own: folders, recipes, README.",
        "corpus": "List, tabulate and check speech corpora.",
        "train": "Train a model from a recipe.",
        "distill": "Train a student from a teacher.",
        "eval": "Measure a model or a recipe: figures with intervals, noise, cost, pictures.",
        "cache": "Show or clear what teachers have computed.",
    },
    "Share": {
        "export": "Turn a trained checkpoint into a student bundle (ONNX, int8).",
        "zoo": "List, pull, verify and publish students.",
    },
}
"""Heading to verbs, in the order a newcomer needs them."""
COMMANDS = {verb: text for verbs in GROUPS.values() for verb, text in verbs.items()}
"""Verb to one-line help. The module is `sercli.cli.VERB`, the command its attribute `VERB`."""
MODULES = {"eval": "evaluate"}
"""Verbs whose module has another name, because Python has a built-in function of theirs."""


class ReaderGone(Exception):
    """Whoever read our output (`| head`) has what it wants."""


class LazyGroup(click.Group):
    """A click group that imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the verbs in the order a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of one verb."""
        if cmd_name not in COMMANDS:
            return None
        name = MODULES.get(cmd_name, cmd_name)
        command: click.Command = getattr(import_module(f"sercli.cli.{name}"), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; click would look for the nearest one among those that are imported, which is none."""
        if args[0] not in COMMANDS and args[0][:1].isalnum() and not ctx.resilient_parsing:
            raise click.NoSuchCommand(args[0], possibilities=COMMANDS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a closed pipe must not reach click, which would call it a failure."""
        output.show_log()
        try:
            return super().invoke(ctx)
        except BrokenPipeError as problem:
            raise ReaderGone from problem

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs' help from GROUPS, so that --help imports none of them."""
        width = max(map(len, COMMANDS))
        for heading, verbs in GROUPS.items():
            with formatter.section(heading):
                formatter.write_dl([(verb.ljust(width), text) for verb, text in verbs.items()])


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from sercli import __version__

        output.result(f"sercli {__version__}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def cli() -> None:
    """Speech emotion recognition that runs anywhere.

    Results go to standard output, everything else to standard error. Exit codes: 0 done, 1 failed,
    2 wrong usage, 3 finished but some inputs failed, 130 interrupted.
    """


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; never raises, unless SERCLI_DEBUG=1."""
    try:
        code = cli.main(list(arguments), prog_name="sercli", standalone_mode=False)  # an exit code, or None
        return int(code) if isinstance(code, int) else ExitCode.DONE
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as problem:
        problem.show()
        return problem.exit_code
    except (click.Abort, KeyboardInterrupt):
        output.note("interrupted")
        return ExitCode.INTERRUPTED
    except ReaderGone:
        # Point stdout at nothing, or the interpreter complains when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.DONE
    except SercliError as problem:
        if os.environ.get("SERCLI_DEBUG"):
            raise
        output.error(str(problem))
        return problem.exit_code
    except Exception as problem:
        if os.environ.get("SERCLI_DEBUG"):
            raise
        output.error(f"{type(problem).__name__}: {problem} (SERCLI_DEBUG=1 shows where)")
        return ExitCode.FAILED


def main() -> None:
    """Entry point of the `sercli` script."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed (`>&-`): the next file opened must not take its place
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123
    sys.exit(run(sys.argv[1:]))
