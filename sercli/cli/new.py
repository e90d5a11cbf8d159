"""`sercli new`: the skeleton of a project on one's own recordings."""

from __future__ import annotations

from pathlib import Path

import click

from sercli.cli import output


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--labels",
    metavar="SET|A,B,...",
    default="seven",
    show_default=True,
    help="Classes: a label set, or your own, such as `calm,tense,other`.",
)
def new(folder: Path, labels: str) -> None:
    """Make DIR, a project for recordings of your own: a folder per class, two recipes, and a README of five lines.

    train.yaml trains from labels alone, distill.yaml with a large speech encoder as a teacher. Both hold speakers out,
    so a recording lies in recordings/CLASS/SPEAKER/.

    \b
    sercli new calls --labels calm,tense,angry
    cd calls                                  # put recordings into recordings/CLASS/SPEAKER/
    sercli train train.yaml
    """
    from sercli.project import make_project

    for path in make_project(folder, labels):
        output.result(f"{path}/" if path.is_dir() else str(path))
    output.note(f"next: put recordings into {folder}/recordings/CLASS/SPEAKER/, and read {folder}/README.md")
