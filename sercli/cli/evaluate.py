"""`sercli eval`: measure a model, or a recipe through its protocol."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sercli.cli import extras, output
from sercli.cli.predict import complete_model
from sercli.errors import UsageError

if TYPE_CHECKING:
    from sercli.corpora.table import Utterance
    from sercli.evaluation.grid import Grid
    from sercli.evaluation.measure import Settings
    from sercli.evaluation.run import Evaluation

PATH = click.Path(path_type=Path)
FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)


@click.command(name="eval", epilog="Exit codes: 0 measured, 1 failed, 2 wrong usage, 130 Ctrl-C.")
@click.argument("model", required=False, shell_complete=complete_model)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option("--corpus", "corpora", multiple=True, metavar="NAME", help="Test on this corpus; can be repeated.")
@click.option("--root", type=PATH, help="The corpus's own folder.  [default: NAME below --data]")
@click.option("--data", type=PATH, help="Folder of corpora, one folder each.  [default: $SERCLI_DATA]")
@click.option("--table", type=PATH, help="Test on this table (.csv, .jsonl).")
@click.option("--recipe", type=PATH, help="Train and test every fold of this recipe's protocol; KEY=VALUE overrides.")
@click.option("--protocol", metavar="NAME", help="Published folds, such as `ravdess-emobox6`; names the label set too.")
@click.option("--labels", metavar="SET", help="Label set, or `shared`: what model and data both have.  [default: the "
              "protocol's, else shared]")  # fmt: skip
@click.option("--against", metavar="MODEL", help="Also test this model, or the predictions.csv of a report, in pairs.")
@click.option("--precision", type=click.Choice(["float32", "int8"]), default="float32", show_default=True)
@click.option("--robustness", is_flag=True, help="Also under noise, codecs, rooms, gain, clipping: all there is.")
@click.option("--kinds", metavar="A,B,...", help="Only these corruptions, such as `babble,rain,opus`.")
@click.option("--snr", metavar="DB,DB,...", help="Signal-to-noise ratios.  [default: 20,15,10,5,0,-5]")
@click.option("--noise", type=FOLDER, help="Folder of noise recordings, one folder per kind (with `test/` if split).")
@click.option("--rir", type=FOLDER, help="Folder of room impulse responses.  [default: `rir` in --noise]")
@click.option("--cost", is_flag=True, help="Also size, MACs, time and memory on one thread. Bundles only.")
@click.option("--scale", type=(float, float), metavar="LOW HIGH", help="Of the table's arousal, valence, dominance.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of noise and bootstrap.")
@click.option("-o", "--output", "runs", type=PATH, help="Run folder of a recipe's folds.  [default: runs/NAME]")
@click.option("--resume", is_flag=True, help="Go on with a recipe's unfinished folds; finished ones are kept.")
@click.option("--report", type=PATH, help="Folder for report.md, metrics.json, predictions.csv and pictures.")
@click.option("--overwrite", is_flag=True, help="Replace the report, and a recipe's folds unless --resume.")
@click.option("-f", "--format", "form", type=click.Choice(["table", "json", "jsonl"]),
              help="Default: table on a terminal, jsonl when piped.")  # fmt: skip
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no notes; a warning is still told.")
def evaluate(model: str | None, overrides: tuple[str, ...], **options: Any) -> None:
    """Measure MODEL (a bundled student, a bundle or run folder) on a corpus or table, or a recipe by its protocol.

    Prints a figure per line, with 95 % intervals over speakers: UA, WA, macro F1, recall, calibration, groups. What
    the model was trained or selected on is marked SEEN: such a figure says nothing about other speakers.

    \b
    sercli eval micro --corpus emodb --root ~/emodb
    sercli eval micro --table calls.csv --against my-student --report report
    sercli eval --recipe zoo/recipes/ravdess-micro.yaml --data ~/corpora --resume
    """
    extras.require("train", "sercli eval")
    extras.require("eval", "sercli eval")
    from sercli.evaluation.measure import Settings
    from sercli.evaluation.results import check_folder, write_results

    _check(model, overrides, options)
    if options["report"]:
        check_folder(options["report"], options["overwrite"])
    settings = Settings(options["seed"], scale=options["scale"])
    if options["recipe"]:
        found = _by_recipe([*([model] if model else []), *overrides], settings, options)
    else:
        found = _by_model(str(model), settings, options)
    if options["against"]:
        found.metrics["against"] = _against(found, settings, options)
    seen = found.metrics["seen"]
    if seen["status"] != "unseen":
        output.note(f"warning: {seen['status'].upper()}: {seen['message']}")
    form = options["form"] or ("table" if sys.stdout.isatty() else "jsonl")
    output.result(_text(found.metrics, form))
    if options["report"]:
        names = write_results(found, options["report"])
        if not options["quiet"]:
            output.note(f"{options['report']}: {', '.join(names)}")


def _check(model: str | None, overrides: tuple[str, ...], options: dict[str, Any]) -> None:
    """Refuse what does not go together before anything is loaded."""
    data = [name for name in ("recipe", "corpora", "table") if options[name]]
    if len(data) != 1:
        raise UsageError("name what to measure on, once: --corpus NAME, --table FILE or --recipe FILE")
    if options["recipe"]:
        useless = [f"--{name}" for name in ("labels", "cost", "root") if options[name]]
        if useless or options["precision"] != "float32":
            raise UsageError(f"{useless[0] if useless else '--precision'} is for a MODEL; a recipe says it itself")
        return
    if model is None:
        raise UsageError("which model? Give a name (micro), a bundle folder or a run folder, or --recipe FILE")
    if overrides:
        raise UsageError(f"{overrides[0]}: KEY=VALUE overrides are for --recipe; name one model")
    if options["runs"] or options["resume"]:
        raise UsageError("--output and --resume are for the folds of a --recipe; --report names the report folder")
    if options["root"] and len(options["corpora"]) != 1:
        raise UsageError("--root is the folder of one --corpus; with several, use --data DIR with a folder for each")


def _by_model(name: str, settings: Settings, options: dict[str, Any]) -> Evaluation:
    from sercli.cli.progress import progress_bar
    from sercli.corpora.splits import protocol
    from sercli.evaluation.model import open_model
    from sercli.evaluation.run import evaluate
    from sercli.evaluation.task import SHARED

    opened = open_model(name, options["precision"])
    published = protocol(options["protocol"]) if options["protocol"] else None
    utterances = _utterances(options)
    labels = options["labels"] or (published.label_set if published else SHARED)
    with progress_bar(not options["quiet"], len(utterances)) as bar:
        found = evaluate(opened, utterances, labels, published, _grid(options), settings, lambda: bar.update(1))
    if options["cost"]:
        from sercli.evaluation.cost import cost

        if opened.kind != "bundle":
            raise UsageError(f"{name}: --cost needs a bundle; make one with `sercli export`")
        found.metrics["cost"] = cost(opened.folder, options["precision"])
    return found


def _by_recipe(overrides: list[str], settings: Settings, options: dict[str, Any]) -> Evaluation:
    from sercli.evaluation.run import cross_validate
    from sercli.training.recipe import load_recipe

    if options["protocol"]:
        overrides = [*overrides, f"split.protocol={options['protocol']}"]
    if options["corpora"] or options["table"]:
        raise UsageError("a recipe names its corpora itself (corpus.sources); leave --corpus and --table out")
    recipe = load_recipe(options["recipe"], overrides)
    folder = options["runs"] or Path("runs") / recipe.name
    choices = {key: options[key] for key in ("resume", "quiet")}
    overwrite = options["overwrite"] and not options["resume"]
    note = (lambda _: None) if options["quiet"] else output.note
    return cross_validate(
        recipe, folder, options["data"], _grid(options), settings, overwrite=overwrite, note=note, **choices
    )


def _utterances(options: dict[str, Any]) -> list[Utterance]:
    """Read what to test on, with native labels."""
    from sercli.corpora import read_corpus
    from sercli.corpora.table import read_table
    from sercli.training.run import source_root

    if options["table"]:
        return read_table(options["table"])
    found = []
    for name in options["corpora"]:
        found += read_corpus(name, options["root"] or source_root(name, options["data"]))
    return found


def _grid(options: dict[str, Any]) -> Grid:
    from sercli.evaluation.corruption import SNR_DB
    from sercli.evaluation.grid import Grid, every_kind

    if not (options["robustness"] or options["kinds"]):
        if useless := [f"--{name}" for name in ("snr", "noise", "rir") if options[name]]:
            raise UsageError(f"{useless[0]} says how to corrupt: add --robustness, or --kinds A,B,...")
        return Grid()
    places = options["noise"], options["rir"]
    kinds = tuple(options["kinds"].split(",")) if options["kinds"] else every_kind(*places)
    try:
        snr_db = tuple(map(float, options["snr"].split(","))) if options["snr"] else SNR_DB
    except ValueError:
        raise UsageError(f"--snr {options['snr']}: write decibels with commas, such as 20,10,0") from None
    return Grid(kinds, snr_db, *places)


def _against(found: Evaluation, settings: Settings, options: dict[str, Any]) -> dict[str, Any]:
    from sercli.evaluation.model import open_model
    from sercli.evaluation.results import PREDICTIONS, read_predictions
    from sercli.evaluation.run import compared_with_model, compared_with_predictions

    other = Path(options["against"])
    if other.is_dir() and (other / PREDICTIONS).exists():
        other = other / PREDICTIONS
    if other.name == PREDICTIONS:
        return compared_with_predictions(found, read_predictions(other), str(other), settings)
    return compared_with_model(found, open_model(options["against"], options["precision"]), settings)


def _text(metrics: dict[str, Any], form: str) -> str:
    from sercli.evaluation.lines import lines, table

    if form == "json":
        return json.dumps(metrics, ensure_ascii=False, indent=1)
    if form == "jsonl":
        return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines(metrics))
    return table(metrics)
