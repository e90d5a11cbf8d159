"""What commands that take a model have in common: how it is named and completed on TAB, and how it decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from sercli.errors import UsageError
from sercli.hub.bundled import DEFAULT_MODEL, names

if TYPE_CHECKING:
    from sercli.runtime.prediction import Decision
    from sercli.runtime.student import Student


def complete_model(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete the name of a student of the zoo, from the packaged manifest."""
    return [name for name in names() if name.startswith(incomplete)]


model_option = click.option(
    "-m",
    "--model",
    default=DEFAULT_MODEL,
    show_default=True,
    metavar="MODEL",
    shell_complete=complete_model,
    help="Name of the zoo such as `micro`, bundle folder, or hf:OWNER/REPO@REVISION.",
)
offline_option = click.option(
    "--offline", is_flag=True, help="Never ask the Hub: use what is cached, or fail. HF_HUB_OFFLINE=1 does the same."
)
silence_option = click.option(
    "--silence",
    type=click.FloatRange(-200, 0),
    metavar="DBFS",
    help="What stays below this level is silence, such as `--silence -45`.  [default: -60]",
)
labels_option = click.option(
    "--labels",
    metavar="A,B,...",
    help="Choose among these classes only, such as `happy,angry`; their scores sum to 1.  [default: all it has]",
)
threshold_option = click.option(
    "--threshold",
    type=click.FloatRange(0, 1),
    metavar="P",
    help="Label 'uncertain' below this score from 0 to 1, such as `0.5`; 0 never.  "
    "[default: the model's calibrated one]",
)


def decision(student: Student, options: dict[str, Any]) -> Decision:
    """Say how a student decides, by --labels and --threshold.

    Raises:
        LabelError: a label the student does not have
    """
    labels = options["labels"]
    wanted = None if labels is None else [label.strip() for label in labels.split(",") if label.strip()]
    return student.decision(wanted, options["threshold"])


def gate_dbfs(options: dict[str, Any]) -> float:
    """Level of --silence."""
    from sercli.runtime.windows import SILENCE_DBFS

    return SILENCE_DBFS if options["silence"] is None else float(options["silence"])


def check_window(student: Student, options: dict[str, Any]) -> None:
    """Refuse a --window that is shorter than the student can hear.

    Raises:
        UsageError: it is
    """
    least = student.config.min_seconds
    if options["window"] is not None and options["window"] < least:
        raise UsageError(f"--window must be at least {least:g} s for {student.config.name}")
