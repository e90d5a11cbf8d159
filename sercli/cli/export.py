"""`sercli export`: a student bundle from a finished run."""

from __future__ import annotations

from pathlib import Path

import click

from sercli.cli import extras, output
from sercli.cli.options import FILE, data_option


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    "folder",
    metavar="DIR",
    required=True,
    type=FILE,
    help="Folder of the bundle, such as `-o student`.",
)
@data_option
@click.option(
    "--results",
    metavar="FILE",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="metrics.json of a recipe's report (`sercli eval --recipe`), for the card; can be repeated.  [default: none]",
)
@click.option("--overwrite", is_flag=True, help="Replace a bundle that is there.")
def export(run: Path, folder: Path, data: Path | None, results: tuple[Path, ...], overwrite: bool) -> None:
    """Turn RUN, a folder written by `sercli train`, into a student bundle.

    Writes model.onnx, model.int8.onnx, model.safetensors, config, card and metrics, and refuses a graph that differs
    from torch by more than 1e-4. The development speakers' clips set the ranges of int8.
    """
    extras.require("train", "sercli export")
    from sercli.training.export import export as export_bundle

    done = export_bundle(run, folder, data, results=results, overwrite=overwrite)
    for name, ua in done.dev_ua.items():
        size = done.sizes[name]
        output.result(f"{folder / name}  {size / 1e3:.0f} kB  development UA {ua:.2f}")
    output.note(f"torch and ONNX agree within {done.parity:.1e}")
