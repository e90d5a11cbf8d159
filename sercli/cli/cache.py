"""`sercli cache`: what the cache holds, and clearing it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from sercli.cli import output
from sercli.cli.options import table_or_json
from sercli.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from sercli.training.cache_inventory import Holding


@click.group()
def cache() -> None:
    """Show or clear what teachers have computed, and decoded training audio."""


@cache.command()
@table_or_json
def info(form: str) -> None:
    """List what is kept, per encoder and settings: clips, size, last use."""
    from sercli.training.cache_inventory import holdings
    from sercli.training.store import cache_folder
    from sercli.training.teacher_fill import size_text

    held = holdings()
    total = sum(holding.nbytes for holding in held)
    if form == "json":
        import json

        keys = ("encoder", "settings", "clips", "nbytes", "used")
        entries = [{key: getattr(holding, key) for key in keys} for holding in held]
        report = {"folder": str(cache_folder()), "nbytes": total, "holdings": entries}
        output.result(json.dumps(report, ensure_ascii=False, indent=2))
        return
    rows = [("KEPT FOR", "CLIPS", "SIZE", "LAST USE (UTC)", "SETTINGS")]
    rows += [
        (
            _name(holding),
            f"{holding.clips}",
            size_text(holding.nbytes),
            holding.used[:16].replace("T", " "),
            " ".join(f"{key}={value}" for key, value in holding.settings.items()),
        )
        for holding in held
    ]
    width = max(len(row[0]) for row in rows)
    for name, clips, size, used, settings in rows:
        output.result(f"{name:<{width}}  {clips:>8}  {size:>9}  {used:<16}  {settings}".rstrip())
    output.note(f"{size_text(total)} in {cache_folder()}")


@cache.command()
@click.option(
    "--encoder",
    "encoders",
    multiple=True,
    metavar="NAME",
    help="All of this encoder, such as `whisper-small`; can be repeated.  [default: none]",
)
@click.option("--audio", is_flag=True, help="Decoded training audio.")
@click.option("--all", "everything", is_flag=True, help="Both, of all encoders.")
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
@click.pass_context
def clear(ctx: click.Context, encoders: tuple[str, ...], audio: bool, everything: bool, yes: bool) -> None:
    """Delete what is kept. It is computed again when it is needed.

    Asks first on a terminal; anywhere else it needs --yes. Exit code 1 if the answer is no.
    """
    from sercli.nearest import nearest
    from sercli.training import cache_inventory
    from sercli.training.teacher_fill import size_text

    if not (encoders or audio or everything):
        raise UsageError("clear what? --encoder NAME, --audio or --all; `sercli cache info` lists them")
    held = cache_inventory.holdings()
    names = {holding.encoder for holding in held if holding.encoder is not None}
    for encoder in encoders:
        if encoder not in names:
            raise UsageError(f'nothing kept for encoder "{encoder}"{nearest(encoder, names)}; see `sercli cache info`')
    chosen = [
        holding for holding in held if everything or holding.encoder in encoders or (audio and holding.encoder is None)
    ]
    size = size_text(sum(holding.nbytes for holding in chosen))
    what = f"{', '.join(dict.fromkeys(map(_name, chosen)))}: {sum(holding.clips for holding in chosen)} clips, {size}"
    if not chosen:
        output.note("nothing to clear")
    elif yes or _agreed(what):
        cache_inventory.clear(chosen)
        output.note(f"deleted {what}")
    else:
        output.note("nothing deleted")
        ctx.exit(ExitCode.FAILED)


def _name(holding: Holding) -> str:
    return "decoded audio" if holding.encoder is None else holding.encoder


def _agreed(what: str) -> bool:
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"would delete {what}; add --yes")
    return click.confirm(f"delete {what}?", err=True)
