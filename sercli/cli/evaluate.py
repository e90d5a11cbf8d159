"""`sercli eval`: measure a model, or a recipe through its protocol."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sercli.cli import extras, output
from sercli.cli.models import complete_model, offline_option
from sercli.cli.options import FILE, Choice, data_option, precision_option
from sercli.errors import UsageError

if TYPE_CHECKING:
    from sercli.corpora.table import Utterance
    from sercli.evaluation.grid import Grid
    from sercli.evaluation.measure import Settings
    from sercli.evaluation.run import Evaluation

    Comparison = Callable[[Evaluation], dict[str, Any]]

FOLDER = click.Path(path_type=Path, exists=True, file_okay=False)
FORMAT = Choice(["table", "json", "jsonl"])
HEADINGS = {
    "corpora": "What to test on",
    "recipe": "A recipe instead of a model",
    "layers": "An encoder instead of a model",
    "precision": "How to measure",
    "robustness": "Robustness",
    "report": "Output",
}
"""First option of each group to the heading above it in the help."""


class GroupedHelp(click.Command):
    """A command with too many options for one list."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options under their headings."""
        groups: list[tuple[str, list[tuple[str, str]]]] = []
        for option in self.get_params(ctx):
            if option.name in HEADINGS:
                groups.append((HEADINGS[option.name], []))
            record = option.get_help_record(ctx)
            if record and isinstance(option, click.Option):
                groups[-1][1].append(record)
        for heading, records in groups:
            with formatter.section(heading):
                formatter.write_dl(records)


@click.command(name="eval", cls=GroupedHelp, epilog="Exit codes: 0 measured, 1 failed, 2 wrong usage, 130 Ctrl-C.")
@click.argument("model", required=False, shell_complete=complete_model)
@click.argument("overrides", nargs=-1, metavar="[KEY=VALUE]...")
@click.option(
    "--corpus",
    "corpora",
    multiple=True,
    metavar="NAME",
    help="This corpus, such as `emodb`, or `folder`; can be repeated.  [default: none]",
)
@click.option("--root", metavar="DIR", type=FILE, help="The corpus's own folder.  [default: NAME below --data]")
@data_option
@click.option(
    "--table",
    metavar="FILE",
    type=FILE,
    help="Instead: the utterances of a table, such as `--table calls.csv` (or .jsonl).  [default: none]",
)
@click.option(
    "--protocol",
    metavar="NAME",
    help="Test folds and labels as published, such as `ravdess-emobox6`.  [default: everything, no folds]",
)
@click.option(
    "--labels",
    metavar="SET",
    help="Set such as `seven`, `shared` with the data, or the model's `own`.  [default: shared]",
)
@click.option(
    "--scale",
    type=(float, float),
    metavar="LOW HIGH",
    help="Ends of the table's arousal, valence, dominance, such as `--scale 1 5`.  [default: the corpus's]",
)
@click.option("--derived", is_flag=True, help="Take points of the emotion words where nobody rated those.")
@click.option(
    "--recipe",
    metavar="FILE",
    type=FILE,
    help="Train and test every fold of its protocol; KEY=VALUE overrides its keys.  [default: a MODEL is measured]",
)
@click.option(
    "-o", "--output", "runs", metavar="DIR", type=FILE, help="Folder of the folds' runs.  [default: runs/NAME]"
)
@click.option("--resume", is_flag=True, help="Go on with unfinished folds; finished ones are kept.")
@click.option("--layers", is_flag=True, help="MODEL is a speech encoder: which layers carry arousal, valence, emotion.")
@precision_option
@click.option(
    "--mode",
    type=Choice(["audio", "text", "both"]),
    help="What a student that reads transcripts too has, such as `audio`.  [default: both]",
)
@offline_option
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    metavar="N",
    show_default=True,
    help="Of noise and intervals, such as `--seed 1`.",
)
@click.option(
    "--against",
    metavar="MODEL",
    shell_complete=complete_model,
    help="Compare with this one, such as `micro`, or with a --report's folder.  [default: none]",
)
@click.option("--cost", is_flag=True, help="Size, MACs, and time and memory on one thread; of a bundle.")
@click.option("--robustness", is_flag=True, help="Under all there is: noise, codecs, rooms, levels, clipping.")
@click.option("--kinds", metavar="A,B,...", help="Under these only, such as `babble,rain,opus`.  [default: none]")
@click.option("--snr", metavar="DB,DB,...", help="Signal-to-noise ratios, such as `20,0`.  [default: 20,15,10,5,0,-5]")
@click.option(
    "--noise",
    metavar="DIR",
    type=FOLDER,
    help="Folder of noise recordings, one folder per kind (with `test` if split).  [default: none]",
)
@click.option(
    "--rir", metavar="DIR", type=FOLDER, help="Folder of room impulse responses.  [default: `rir` in --noise]"
)
@click.option(
    "--report",
    metavar="DIR",
    type=FILE,
    help="Folder for report.md, metrics.json, predictions.csv and pictures.  [default: none]",
)
@click.option("--overwrite", is_flag=True, help="Replace a report; without --resume, a recipe's folds too.")
@click.option(
    "-f",
    "--format",
    "form",
    type=FORMAT,
    help="For people or programs.  [default: table on a terminal, jsonl when piped]",
)
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no notes; warnings are still told.")
def evaluate(model: str | None, overrides: tuple[str, ...], **options: Any) -> None:
    """Measure MODEL on a corpus or table, or a recipe by its protocol.

    MODEL is a name of the zoo, hf:OWNER/REPO@REVISION, a bundle or a run folder.

    One line per figure, with 95 % intervals over speakers: UA, WA, macro F1, recall, calibration, groups. SEEN marks
    what the model was trained, selected or calibrated on: such a figure says nothing about other speakers.

    \b
    sercli eval micro --corpus emodb --root ~/emodb
    sercli eval micro --table calls.csv --against my-student --report report
    sercli eval openai/whisper-small@main --layers --corpus ravdess --derived --report layers
    sercli eval --recipe zoo/recipes/ravdess-micro.yaml --data ~/corpora --resume
    """
    _check(model, overrides, options)
    if options["layers"]:
        from sercli.cli.layers import check_layers, measure_layers

        check_layers(model, {**options, "overrides": overrides})
        measure_layers(model, _utterances(options), options)
        return
    _require_extras(options)
    from sercli.evaluation.measure import Settings
    from sercli.evaluation.results import check_folder, write_results

    settings, grid = Settings(options["seed"], scale=options["scale"]), _grid(options)
    compare = _comparison(settings, options) if options["against"] else None
    if options["report"]:
        check_folder(options["report"], options["overwrite"])
    if options["recipe"]:
        found = _by_recipe([*([model] if model else []), *overrides], grid, settings, options)
    else:
        found = _by_model(str(model), grid, settings, options)
    if compare:
        found.metrics["against"] = compare(found)
    _tell(found.metrics, options["quiet"])
    try:
        names = write_results(found, options["report"]) if options["report"] else []
    finally:  # the figures of a long run are not lost with a full disk, nor the report with a reader that has gone
        output.result(_text(found.metrics, options["form"] or ("table" if sys.stdout.isatty() else "jsonl")))
    if names and not options["quiet"]:
        output.note(f"{options['report']}: {', '.join(names)}")


def _check(model: str | None, overrides: tuple[str, ...], options: dict[str, Any]) -> None:
    """Refuse what does not go together before anything is loaded."""
    if sum(bool(options[name]) for name in ("recipe", "corpora", "table")) != 1:
        raise UsageError("name what to measure on, once: --corpus NAME, --table FILE or --recipe FILE")
    if options["scale"] and not options["scale"][0] < options["scale"][1]:
        raise UsageError("--scale LOW HIGH: the lower end comes first, such as --scale 1 5")
    if options["recipe"]:
        useless = [f"--{name}" for name in ("root", "labels", "cost", "derived", "layers") if options[name]]
        useless += ["--precision"] if options["precision"] != "float32" else []
        if useless:
            raise UsageError(f"{useless[0]} is for a MODEL; a recipe has its own corpora and labels, and float32 runs")
        return
    if model is None:
        raise UsageError("which model? Give a name (micro), a bundle folder or a run folder, or --recipe FILE")
    if overrides:
        raise UsageError(f"{overrides[0]}: KEY=VALUE overrides are for --recipe; name one model")
    if options["runs"] or options["resume"]:
        raise UsageError("--output and --resume are for the folds of a --recipe; --report names the report folder")
    if options["overwrite"] and not options["report"]:
        raise UsageError("--overwrite needs --report")
    if options["root"] and len(options["corpora"]) != 1:
        raise UsageError("--root is the folder of one --corpus; with several, use --data DIR with a folder for each")


def _require_extras(options: dict[str, Any]) -> None:
    """Ask for what is needed beyond the base install; a bundle is measured without."""
    if options["recipe"]:
        extras.require("train", "sercli eval --recipe")
    for name in ("report", "cost"):
        if options[name]:
            extras.require("eval", f"sercli eval --{name}")


def _grid(options: dict[str, Any]) -> Grid:
    from sercli.evaluation.corruption import SNR_DB
    from sercli.evaluation.grid import Grid, every_kind

    if not (options["robustness"] or options["kinds"]):
        if useless := [f"--{name}" for name in ("snr", "noise", "rir") if options[name]]:
            raise UsageError(f"{useless[0]} says how to corrupt: add --robustness, or --kinds A,B,...")
        return Grid()
    places = options["noise"], options["rir"]
    kinds = tuple(map(str.strip, options["kinds"].split(","))) if options["kinds"] else every_kind(*places)
    try:
        snr_db = tuple(map(float, options["snr"].split(","))) if options["snr"] else SNR_DB
    except ValueError:
        raise UsageError(f"--snr {options['snr']}: write decibels with commas, such as 20,10,0") from None
    return Grid(kinds, snr_db, *places)


def _comparison(settings: Settings, options: dict[str, Any]) -> Comparison:
    """Open the other side of --against before hours of work, not after."""
    from sercli.cli.progress import progress_bar
    from sercli.evaluation.model import open_model
    from sercli.evaluation.results import PREDICTIONS, read_predictions
    from sercli.evaluation.run import compared_with_model, compared_with_predictions

    file = Path(options["against"])
    if (file / PREDICTIONS).exists():
        file /= PREDICTIONS
    if file.suffix == ".csv":
        said = read_predictions(file)
        return lambda found: compared_with_predictions(found, said, str(file), settings)
    other = open_model(options["against"], options["precision"], offline=options["offline"])

    def compare(found: Evaluation) -> dict[str, Any]:
        with progress_bar(not options["quiet"], found.metrics["data"]["utterances"]) as bar:
            return compared_with_model(found, other, settings, lambda: bar.update(1))

    return compare


def _by_model(name: str, grid: Grid, settings: Settings, options: dict[str, Any]) -> Evaluation:
    from sercli.cli.progress import progress_bar
    from sercli.corpora.splits import CROSS_CORPUS, protocol
    from sercli.evaluation.cost import cost
    from sercli.evaluation.model import open_model
    from sercli.evaluation.run import evaluate
    from sercli.evaluation.task import SHARED

    if options["protocol"] == CROSS_CORPUS:
        raise UsageError(f"{CROSS_CORPUS} trains on each corpus in turn: give it a --recipe, or leave --protocol out")
    published = protocol(options["protocol"]) if options["protocol"] else None
    opened = open_model(name, options["precision"], offline=options["offline"], mode=options["mode"] or "")
    if options["cost"] and opened.kind != "bundle":
        raise UsageError(f"{name}: --cost needs a bundle; make one with `sercli export`")
    utterances = _utterances(options)
    if options["robustness"] and not options["kinds"]:
        grid = _without_babble(grid, utterances)
    labels = options["labels"] or (published.label_set if published else SHARED)
    with progress_bar(not options["quiet"], len(utterances)) as bar:
        derived = options["derived"]
        found = evaluate(opened, utterances, labels, published, grid, settings, lambda: bar.update(1), derived)
    if options["cost"]:
        found.metrics["cost"] = cost(opened.folder, options["precision"])
    return found


def _without_babble(grid: Grid, utterances: list[Utterance]) -> Grid:
    """Take babble out of "all there is" where too few people speak for it."""
    from sercli.noise import BABBLE_SPEAKERS

    if len({(utterance.corpus, utterance.speaker) for utterance in utterances if utterance.speaker}) > BABBLE_SPEAKERS:
        return grid
    output.note(f"no babble: it takes more than {BABBLE_SPEAKERS} speakers")
    return replace(grid, kinds=tuple(kind for kind in grid.kinds if kind != "babble"))


def _utterances(options: dict[str, Any]) -> list[Utterance]:
    """Read what to test on, with native labels."""
    from sercli.corpora import read_corpus
    from sercli.corpora.table import read_table

    if options["table"]:
        return read_table(options["table"])
    data = options["data"]
    roots = {name: options["root"] or (data / name if data else None) for name in options["corpora"]}
    return [utterance for name, root in roots.items() for utterance in read_corpus(name, root)]


def _by_recipe(overrides: list[str], grid: Grid, settings: Settings, options: dict[str, Any]) -> Evaluation:
    from sercli.corpora.splits import CROSS_CORPUS
    from sercli.evaluation.run import cross_validate
    from sercli.training.recipe_file import load_recipe

    if options["protocol"]:
        overrides = [*overrides, f"split.protocol={options['protocol']}"]
    recipe = load_recipe(options["recipe"], overrides)
    if recipe.split.protocol == CROSS_CORPUS and options["against"]:
        raise UsageError(f"{CROSS_CORPUS} has other labels for every pair of corpora; leave --against out")
    folder = options["runs"] or Path("runs") / recipe.name
    choices = {**{key: options[key] for key in ("resume", "quiet")}, "mode": options["mode"] or ""}
    overwrite = options["overwrite"] and not options["resume"]
    note = (lambda _: None) if options["quiet"] else output.note
    return cross_validate(recipe, folder, options["data"], grid, settings, overwrite=overwrite, note=note, **choices)


def _tell(metrics: dict[str, Any], quiet: bool) -> None:
    """Say on stderr what was asked, and warn of models that know the speakers or may do."""
    data = metrics["data"]
    left_out = ", ".join(f"{emotion} {count}" for emotion, count in data["left_out"].items())
    if not quiet:
        output.note(
            f"{data['utterances']} utterances, {data['speakers']} speakers, labels {', '.join(data['labels'])}"
            + (f"; left out: {left_out}" if left_out else "")
        )
    for part in (metrics, metrics.get("against", {})):
        seen = part.get("seen", {"status": "unseen"})
        if seen["status"] != "unseen":
            output.note(f"warning: {part['model']['id']}: {seen['status'].upper()}: {seen['message']}")


def _text(metrics: dict[str, Any], form: str) -> str:
    from sercli.evaluation.lines import lines, table

    if form == "json":
        return json.dumps(metrics, ensure_ascii=False, indent=1)
    if form == "jsonl":
        return "\n".join(json.dumps(line, ensure_ascii=False) for line in lines(metrics))
    return table(metrics)
