"""`sercli corpus`: list the corpora, write one as a table, check one, look into a graph of clips."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sercli.cli import extras, output
from sercli.cli.options import FILE, Choice, root_option, table_or_json

if TYPE_CHECKING:
    from sercli.corpora.check import Report
    from sercli.corpora.table import Shape

FORMATS: dict[str, tuple[Shape, str]] = {
    "csv": ("sercli", ".csv"),
    "jsonl": ("sercli", ".jsonl"),
    "audformat": ("audformat", ".csv"),
    "emobox": ("emobox", ".jsonl"),
}
"""What `table` writes: whose columns, and the ending of the file."""
SHOWN_PATHS = 3  # per finding in the report for people; JSON holds them all


@click.group()
def corpus() -> None:
    """List, tabulate and check speech corpora, and look into graphs of their clips."""


@corpus.command("list")
@table_or_json
def list_(form: str) -> None:
    """List the corpora sercli can read: size, labels, licence, how to get them."""
    from sercli.corpora import CORPORA

    if form == "json":
        import json

        keys = ("name", "title", "language", "utterances", "speakers", "hours", "labels", "licence", "how_to_get")
        rows = [{key: getattr(entry, key) for key in keys} for entry in CORPORA.values()]
        output.result(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    head = ["NAME", "LANGUAGE", "UTTERANCES", "SPEAKERS", "HOURS", "LABELS", "LICENCE", "HOW TO GET IT"]
    rows_ = [
        [
            entry.name,
            entry.language,
            str(entry.utterances),
            str(entry.speakers),
            f"{entry.hours:.2f}",
            " ".join(entry.labels),
            entry.licence,
            entry.how_to_get,
        ]
        for entry in CORPORA.values()
    ]
    output.result(output.columns([head, *rows_]))
    output.note("Your own data: `folder` (a folder per class), or a .csv or .jsonl table.")


@corpus.command()
@click.argument("name")
@root_option
@click.option(
    "--labels",
    metavar="SET|A,B,...",
    default="native",
    show_default=True,
    help="`native`, a label set such as `seven`, or labels of your own.",
)
@click.option(
    "--format",
    "form",
    type=Choice(list(FORMATS)),
    help="Whose columns: sercli's as csv or jsonl, audformat's, EmoBox's.  [default: csv, or by --output's ending]",
)
@click.option(
    "-o",
    "--output",
    "file",
    metavar="FILE",
    type=FILE,
    help="Write here, such as `--output mine.csv` (or .jsonl).  [default: standard output]",
)
def table(name: str, root: Path | None, labels: str, form: str | None, file: Path | None) -> None:
    """Write the utterances of corpus NAME (or `folder`, or a table) as one table.

    csv and jsonl are sercli's own and hold every column; audformat is for audformat and nkululeko, emobox for EmoBox.
    A NAME that ends in .csv or .jsonl may be a table of any of these.
    """
    import io

    from sercli.corpora import read_corpus
    from sercli.corpora.speech import with_ends
    from sercli.corpora.table import dump_table, write_table
    from sercli.errors import UsageError
    from sercli.labels import relabel

    shape, suffix = FORMATS[form or "csv"]
    if file and form and file.suffix.lower() != suffix:
        raise UsageError(f"{file}: --format {form} writes a {suffix} file; change one of the two")
    found = read_corpus(name, root)
    kept = relabel(found, labels)
    if shape == "emobox":
        kept = with_ends(kept)  # its loader needs every length
    if file is None:
        text = io.StringIO()
        dump_table(kept, text, suffix, shape=shape)
        output.result(text.getvalue().removesuffix("\n"))
    else:
        write_table(kept, file, shape)
    left_out = len(found) - len(kept)
    output.note(
        f"{len(kept)} utterances"
        + (f", {left_out} left out that have no place in label set {labels}" if left_out else "")
        + (f", written to {file}" if file else "")
    )


@corpus.command()
@click.argument("name")
@root_option
@click.option(
    "--protocol",
    metavar="NAME",
    default="",
    help="Also check the splits of this protocol, such as `ravdess-emobox6`.  [default: none]",
)
@table_or_json
@click.pass_context
def check(ctx: click.Context, name: str, root: Path | None, protocol: str, form: str) -> None:
    """Check corpus NAME (or `folder`, or a table): files, duplicates, speakers, labels, clipped or silent audio.

    Exit code 1 if something is missing, unreadable or on two sides of a split; 0 if there are only warnings.
    """
    from tqdm import tqdm

    from sercli.corpora import read_corpus
    from sercli.corpora.check import check as examine

    utterances = read_corpus(name, root)
    with tqdm(total=len(utterances), unit="file", desc=f"checking {name}", disable=None, leave=False) as bar:
        report = examine(name, utterances, root, protocol, bar.update)
    if form == "json":
        import json

        output.result(json.dumps(report.to_dict(), ensure_ascii=False, indent=2))
    else:
        output.result(_report(report))
    ctx.exit(1 if report.errors else 0)


@corpus.command()
@click.argument("name")
@root_option
@click.option(
    "--labels",
    metavar="SET",
    default="native",
    show_default=True,
    help="`native`, or a label set such as `seven`.",
)
@table_or_json
def text(name: str, root: Path | None, labels: str, form: str) -> None:
    """Say how much of the labels of corpus NAME (or a table) its sentences give away, without any sound.

    Each clip gets the label that its sentence has most often with other speakers. Near chance, text cannot help; far
    above it, a model that reads learns which sentence belongs to which emotion: part the sentences too
    (split.sentences).
    """
    from dataclasses import asdict

    from sercli.corpora import read_corpus
    from sercli.corpora.sentences import leak
    from sercli.labels import relabel

    found = leak(relabel(read_corpus(name, root), labels))
    if form == "json":
        import json

        output.result(json.dumps(asdict(found), indent=2))
        return
    output.result(
        f"{found.utterances} utterances, {found.sentences} sentences, {found.of_one_label} of them in one label only\n"
        f"UA of the sentence alone, of speakers not looked at: {found.ua:.1f} % (chance {found.chance:.1f} %)"
    )


@corpus.command()
@click.argument("run", metavar="RUN_OR_FILE", type=FILE)
@click.option("--plot", metavar="FILE.png", type=FILE, help="Also draw it, into this PNG.  [default: not drawn]")
@table_or_json
def graph(run: Path, plot: Path | None, form: str) -> None:
    """Say what the graph of a run of the method nsl is like: RUN_OR_FILE is the run's folder or its graph.npz.

    Purity, the share of neighbours with the clip's own emotion, is for information: no label made the graph.
    """
    from sercli.training.neighbours import load_graph, statistics

    if plot:
        extras.require("eval", "sercli corpus graph --plot")
    found = load_graph(run)
    figures = statistics(found)
    if form == "json":
        import json

        output.result(json.dumps(figures, indent=2))
    else:
        output.result(_graph_report(figures))
    if plot:
        from sercli.errors import OutputError
        from sercli.evaluation.graph_map import draw_graph

        try:
            draw_graph(found, (run if run.is_dir() else run.absolute().parent).resolve().name, plot)
        except OSError as problem:
            raise OutputError(f"{plot}: cannot be written ({problem.strerror}); choose another --plot") from problem


def _graph_report(figures: dict[str, Any]) -> str:
    def share(key: str) -> str:
        return "unknown" if figures[key] is None else f"{100 * figures[key]:.1f} %"

    degree, cosine = figures["degree"], figures["cosine"]
    lines = [
        f"clips: {figures['clips']}, isolated {figures['isolated']}",
        f"pairs of cosine {figures['threshold']:g} or more: {figures['pairs']}",
        f"degree: mean {degree['mean']:.2f}, median {degree['median']:g}, largest {degree['largest']:g}",
        f"edges, {figures['neighbors']} heaviest of each clip: {figures['edges']}, {figures['kept']:.2f} a clip",
    ]
    if cosine:
        lines.append(f"cosine: least {cosine['least']:g}, median {cosine['median']:g}, largest {cosine['largest']:g}")
    lines.append(f"same emotion: {share('purity')} (by chance {share('purity_by_chance')})")
    lines.append(f"same speaker: {share('same_speaker')}")
    return "\n".join(lines)


def _report(report: Report) -> str:
    hours = report.seconds / 3600
    lines = [
        f"{report.corpus}: {report.utterances} utterances, {report.speakers} speakers, {hours:.2f} hours",
        "labels: " + (", ".join(f"{label} {count}" for label, count in report.labels.items()) or "none"),
    ]
    for finding in report.findings:
        lines.append(f"{finding.severity}: {finding.kind}: {finding.message}")
        lines += [f"    {path}" for path in finding.paths[:SHOWN_PATHS]]
        more = len(finding.paths) - SHOWN_PATHS
        if more > 0:
            lines.append(f"    and {more} more (--format json lists them)")
    warnings = len(report.findings) - report.errors
    lines.append(f"errors: {report.errors}, warnings: {warnings}" if report.findings else "clean")
    return "\n".join(lines)
