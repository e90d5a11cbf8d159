"""Options that several commands share, and how choices refuse: with the nearest one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

FILE = click.Path(path_type=Path)


class Choice(click.Choice[str]):
    """A choice whose refusal names the nearest one."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Add the nearest choice to what click says."""
        from sercli.nearest import nearest

        return super().get_invalid_choice_message(value, ctx).removesuffix(".") + f"{nearest(value, self.choices)}."


table_or_json = click.option(
    "-f",
    "--format",
    "form",
    type=Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="For people, or for programs.",
)
precision_option = click.option(
    "--precision",
    type=Choice(["float32", "int8"]),
    default="float32",
    show_default=True,
    help="Which graph of the bundle to run; int8 is smaller, not faster.",
)
root_option = click.option(
    "--root",
    metavar="DIR",
    type=FILE,
    help="The corpus's own folder, such as `--root ~/corpora/emodb`.  [default: none; a table needs none]",
)
data_option = click.option(
    "--data",
    metavar="DIR",
    type=FILE,
    envvar="SERCLI_DATA",
    help="Folder of corpora, one folder each, such as `--data ~/corpora`.  [default: $SERCLI_DATA]",
)
