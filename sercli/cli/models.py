"""What commands that take a model have in common: how it may be named, and its completion on TAB."""

from __future__ import annotations

import click

from sercli.hub.bundled import DEFAULT_MODEL, names


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
labels_option = click.option(
    "--labels",
    metavar="A,B,...",
    help="Choose among these classes only, such as `happy,angry`; their scores sum to 1.  [default: all it has]",
)
