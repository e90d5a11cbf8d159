"""`sercli zoo`: list, pull, verify, remove and publish students."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sercli.cli import extras, output
from sercli.cli.models import complete_model, offline_option
from sercli.cli.options import FILE, Choice, table_or_json
from sercli.errors import BundleError

if TYPE_CHECKING:
    from sercli.hub.entry import Entry
    from sercli.hub.find import Found
    from sercli.hub.push import Pushed

tag_option = click.option("--tag", default="", metavar="NAME", help="Tag the commit, such as `v1`.  [default: no tag]")
zoo_option = click.option(
    "--zoo",
    "folder",
    metavar="DIR",
    type=FILE,
    default="zoo",
    show_default=True,
    help="Folder of manifest.yaml and students/, such as `zoo`.",
)


@click.group()
def zoo() -> None:
    """List, pull, verify and publish students.

    A MODEL is a name of the zoo, or hf:OWNER/REPO@REVISION on a Hugging Face Hub. What is pulled lies in the Hugging
    Face cache. HF_ENDPOINT, HF_HOME and HF_TOKEN are honoured.
    """


@zoo.command("list")
@table_or_json
@click.option(
    "--licence",
    type=Choice(["any", "open"]),
    default="any",
    show_default=True,
    help="open: commercial use allowed too.",
)
def list_(form: str, licence: str) -> None:
    """List the students of the zoo: size, UA, speed, licence, and whether they are here."""
    from sercli.hub.inventory import holdings

    held = holdings(open_only=licence == "open")
    if form == "json":
        import json

        from sercli.hub.entry import plain

        rows = [
            {
                "name": one.name,
                "place": one.place,
                "folder": str(one.found.folder) if one.found else None,
                **plain(one.entry),
            }
            for one in held
        ]
        output.result(json.dumps(rows, ensure_ascii=False, indent=2))
        return
    head = ("NAME", "PARAMETERS", "FLOAT32", "INT8", "UA", "ON", "SPEED", "LICENCE OF WEIGHTS", "PLACE")
    output.result(output.columns([head, *(_row(one.name, one.entry, one.place) for one in held)]))
    if held:
        output.note(
            "UA: mean over the folds of ON, of the same network trained on that corpus alone. SPEED: one thread."
        )


def _row(name: str, entry: Entry, place: str) -> tuple[str, ...]:
    first = next(iter(entry.metrics), None)
    size = {file: f"{facts.size / 1e6:.2f} MB" for file, facts in entry.files.items()}
    return (
        name,
        f"{entry.parameters:,}",
        size["model.onnx"],
        size.get("model.int8.onnx", "-"),
        f"{first.ua:.1f}" if first else "-",
        first.protocol if first else "-",
        f"{1 / entry.speed.real_time_factor:.0f} x real time" if entry.speed else "-",
        entry.licence.weights,
        place,
    )


@zoo.command()
@click.argument("model", shell_complete=complete_model)
@table_or_json
def info(model: str, form: str) -> None:
    """Tell what MODEL is: where it lies, licences, figures, card, and the recipe that made it.

    Of a student that is not here yet, what the manifest says. Never asks the network.
    """
    from sercli.hub.entry import Where, entry_of, plain
    from sercli.hub.find import find
    from sercli.hub.inventory import local
    from sercli.hub.manifest import packaged

    entry = packaged().get(model)
    found = local(model, entry) if entry else find(model, offline=True)
    if entry is None:
        assert found is not None
        entry = entry_of(found.folder, Where(bundled=False))
    card, recipe = (_text(found, name) for name in ("README.md", "recipe.yaml"))
    if form == "json":
        import json

        told = {"name": model, "folder": str(found.folder) if found else None, **plain(entry)}
        told |= {"card": card or None, "recipe": recipe or None}
        output.result(json.dumps(told, ensure_ascii=False, indent=2))
        return
    rows = [(key, value) for key, value in _facts(entry, str(found.folder) if found else "not here").items() if value]
    output.result(output.columns([(model, ""), *rows]))
    if found is None:
        output.note(f"its card and recipe come with it: sercli zoo pull {model}")
        return
    if card.startswith("---\n"):
        card = card.partition("\n---\n")[2]  # without what it says to the Hub's search
    parts = [card.strip(), f"## Recipe\n\n{recipe.strip()}" if recipe else ""]
    output.result("\n" + "\n\n".join(part for part in parts if part))


def _text(found: Found | None, file: str) -> str:
    """Text of a bundle's file; empty if there is none."""
    path = found.folder / file if found else None
    return path.read_text(encoding="utf-8") if path and path.is_file() else ""


def _facts(entry: Entry, folder: str) -> dict[str, str]:
    speed, defaults = entry.speed, entry.defaults
    figures = [
        f"UA {figure.ua:.1f}"
        + (f" (pooled {figure.ua_pooled:.1f}" if figure.ua_pooled is not None else "")
        + (f", 95 % {figure.interval[0]:.1f} to {figure.interval[1]:.1f}" if figure.interval else "")
        + (")" if figure.ua_pooled is not None else "")
        + f" on {figure.protocol}, {figure.classes} classes, recipe {figure.recipe}"
        for figure in entry.metrics
    ]
    return {
        "folder": folder,
        "on the Hub": entry.where.hub,
        "architecture": f"{entry.architecture}, {entry.parameters:,} parameters, {entry.sample_rate} Hz",
        "labels": ", ".join(entry.labels),
        "languages": ", ".join(entry.languages),
        "trained on": ", ".join(entry.corpora),
        "measured": "; ".join(figures),
        "speed": f"{1 / speed.real_time_factor:.0f} x real time, {speed.macs_per_second / 1e6:.1f} M MACs/s"
        if speed
        else "",
        "defaults": f"--precision {defaults.precision} --window {defaults.window:g} --hop {defaults.hop:g} "
        f"--threshold {defaults.threshold:g}",
        "licence": f"code {entry.licence.code}; weights {entry.licence.weights}",
        "needs": f"sercli {entry.minimum_sercli} or newer",
    }


@zoo.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, shell_complete=complete_model)
@offline_option
@click.option("-q", "--quiet", is_flag=True, help="No progress bar.")
def pull(models: tuple[str, ...], offline: bool, quiet: bool) -> None:
    """Bring MODELs into the Hugging Face cache, hash every file, and print their folders.

    A branch or tag is resolved to the commit it names now, which is told. A pull that broke off goes on where it was;
    one that is complete needs no network. Weights that are not for commercial use are told once.
    """
    from sercli.hub.pull import pull

    _hub_bars(not quiet)
    for model in models:
        output.result(str(pull(model, offline=offline)))


@zoo.command()
@click.argument("models", metavar="[MODEL]...", nargs=-1, shell_complete=complete_model)
def verify(models: tuple[str, ...]) -> None:
    """Hash the files of MODELs, or of all students of the zoo that are here, and compare with what was published.

    Exit code 1 if a file is missing or another.
    """
    from sercli.hub.inventory import verified

    bad = []
    for name, found, altered in verified(models):
        if found is None:
            output.note(f"{name}: not here; sercli zoo pull {name}")
            bad += [name] if models else []
        elif not found.digests:
            output.note(f"{name}: a folder of your own, there is nothing to compare it with")
        elif altered:
            output.result(f"{name}  altered: {', '.join(altered)}  {found.folder}")
            bad.append(name)
        else:
            output.result(f"{name}  ok, {len(found.digests)} files  {found.folder}")
    if bad:
        raise BundleError(
            f"{', '.join(bad)} not as published; `sercli zoo pull` brings it again, or install sercli anew"
        )


@zoo.command()
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, shell_complete=complete_model)
def remove(models: tuple[str, ...]) -> None:
    """Delete pulled MODELs from the Hugging Face cache; of hf:OWNER/REPO, all of its revisions."""
    from sercli.hub.inventory import remove

    for model in models:
        output.note(f"{model}: removed, {remove(model) / 1e6:.2f} MB freed")


@zoo.command()
@click.argument("folder", type=FILE)
@click.option(
    "--to",
    "repository",
    required=True,
    metavar="OWNER/NAME",
    help="Repository on the Hub, such as `me/my-student`; created if new.",
)
@tag_option
@click.option("--private", is_flag=True, help="Create the repository as a private one.")
@click.option("--dry-run", is_flag=True, help="Check, show files and entry, upload nothing.")
def push(folder: Path, repository: str, tag: str, private: bool, dry_run: bool) -> None:
    """Publish the bundle in FOLDER, checked and with its card, in one commit.

    Prints the entry for a manifest, with commit and hashes. The card is made from metrics.json and recipe.yaml.
    Repeating a push that broke off completes it. Needs a token: `hf auth login`, or HF_TOKEN.
    """
    extras.require("push", "sercli zoo push")
    _hub_bars(True)
    from sercli.hub.push import push

    _tell(push(folder, repository, tag=tag, private=private, dry_run=dry_run), dry_run)


@zoo.command()
@click.argument("namespace")
@click.argument("names", metavar="[NAME]...", nargs=-1, shell_complete=complete_model)
@zoo_option
@tag_option
@click.option("--private", is_flag=True, help="Create the repositories as private ones.")
@click.option("--dry-run", is_flag=True, help="Check and show, upload and write nothing.")
def publish(namespace: str, names: tuple[str, ...], folder: Path, **options: Any) -> None:
    """Push the bundled students of a zoo to NAMESPACE/NAME, and write their places into its manifest."""
    extras.require("push", "sercli zoo publish")
    _hub_bars(True)
    from sercli.hub.zoo_folder import publish

    for pushed in publish(folder, namespace, names, **options):
        _tell(pushed, options["dry_run"])


@zoo.command()
@click.argument("student", metavar="BUNDLE", type=FILE)
@click.option("--name", metavar="NAME", default="", help="In the zoo, such as `nano`.  [default: the bundle's own]")
@zoo_option
def bundle(student: Path, name: str, folder: Path) -> None:
    """Take the folder BUNDLE into a zoo: students/NAME and its entry in manifest.yaml.

    For those who keep a zoo: only this and `publish` ever write a manifest. Prints the entry.
    """
    extras.require("push", "sercli zoo bundle")
    from sercli.hub.manifest import as_yaml
    from sercli.hub.zoo_folder import enter

    output.result(as_yaml(dict([enter(student, folder, name)])))


def _hub_bars(wanted: bool) -> None:
    """Let huggingface_hub show its bars only on a terminal; those of uploads would come anywhere."""
    if not (wanted and sys.stderr.isatty()):
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()


def _tell(pushed: Pushed, dry_run: bool) -> None:
    from sercli.hub.manifest import as_yaml

    for name, size in pushed.sizes.items():
        output.note(f"{'would push' if dry_run else 'pushed'} {name}, {size / 1e3:.1f} kB")
    output.result(as_yaml({pushed.name: pushed.entry}))
    if not dry_run:
        output.note(f"use it as {pushed.reference}")
