"""Keep a zoo: `manifest.yaml` beside `students/NAME`, as in the sources of sercli. Nothing else writes a manifest."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sercli.errors import OutputError, UsageError
from sercli.hub import manifest
from sercli.hub.bundled import digests_by_student
from sercli.hub.card import CARD, write_card
from sercli.hub.check import check_bundle
from sercli.hub.entry import Entry, Where, entry_of
from sercli.hub.find import Found
from sercli.hub.manifest import NAME
from sercli.hub.push import Pushed, push
from sercli.nearest import nearest
from sercli.runtime.bundle import BUNDLE_FILES, CONFIG_FILE, BundleConfig

MANIFEST = "manifest.yaml"
STUDENTS = "students"


def enter(folder: Path, zoo: Path, name: str = "") -> tuple[str, Entry]:
    """Take a bundle into a zoo: copy it to `students/NAME`, make its card, and describe it in the manifest.

    A student of that name is replaced; its place on the Hub is forgotten, because it has other weights there.

    Args:
        folder: of the bundle; may be the one in the zoo
        zoo: folder of the zoo; created, if it does not exist
        name: in the zoo, if not the bundle's own

    Returns:
        name and entry

    Raises:
        UsageError: not a name
        BundleError: the bundle is incomplete or damaged, or the manifest cannot be read
        OutputError: cannot be written
    """
    check_bundle(folder)
    name = name or BundleConfig.load(folder).name
    if not NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name of a student; use lower-case letters, digits, . _ and - (--name)")
    path, home = zoo / MANIFEST, zoo / STUDENTS / name
    entries = manifest.read(path) if path.exists() else {}
    partial = home.with_name(f".{name}.{os.getpid()}.part")
    try:
        partial.mkdir(parents=True)
        for file in BUNDLE_FILES:
            if (folder / file).is_file():
                shutil.copyfile(folder / file, partial / file)
        _rename(partial / CONFIG_FILE, name)
        write_card(partial)
        entries[name] = entry_of(partial, Where(bundled=True))
        before = home.with_name(f".{name}.{os.getpid()}.before")
        if home.exists():
            home.rename(before)
        partial.rename(home)
        shutil.rmtree(before, ignore_errors=True)
    except OSError as problem:
        raise OutputError(f"{home}: cannot be written ({problem.strerror}); check its rights") from problem
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    manifest.write(path, entries)
    return name, entries[name]


def publish(
    zoo: Path, namespace: str, names: Sequence[str] = (), *, tag: str = "", private: bool = False, dry_run: bool = False
) -> Iterator[Pushed]:
    """Push the bundled students of a zoo, each to `namespace/NAME`, and write where they lie into its manifest.

    The card that was pushed, which names its repository, becomes the bundled one too: the Hub and the zoo have the same
    files. Card and entry are written as soon as a student is pushed, so that what broke off can be run again.

    Args:
        zoo: folder of the zoo
        namespace: user or organisation
        names: these only; empty for every bundled student
        tag: of the commits
        private: create repositories so
        dry_run: check and describe, write nothing

    Yields:
        each student as it was pushed

    Raises:
        UsageError: no zoo there, or no such student in it
        BundleError: a student is not the manifest's; otherwise as `push`
    """
    path = zoo / MANIFEST
    if not path.exists():
        raise UsageError(f"{zoo}: no zoo, it has no {MANIFEST}; name its folder with --zoo")
    entries = manifest.read(path)
    bundled = [name for name, entry in entries.items() if entry.where.bundled]
    for name in names:
        if name not in bundled:
            raise UsageError(f"{zoo}: no bundled student {name!r}{nearest(name, bundled)}")
    hashes = digests_by_student(path.read_text(encoding="utf-8"))
    for name in names or bundled:
        folder, repository = zoo / STUDENTS / name, f"{namespace}/{name}"
        Found(folder, {file: known for file, known in hashes[name].items() if file != CARD}).verify()
        pushed = push(folder, repository, tag=tag, private=private, dry_run=dry_run)
        if not dry_run:
            write_card(folder, repository, tag)
            entries[name] = replace(pushed.entry, where=Where(bundled=True, hub=str(pushed.reference)))
            manifest.write(path, entries)
        yield pushed


def _rename(config: Path, name: str) -> None:
    values = json.loads(config.read_text(encoding="utf-8"))
    if values["name"] != name:
        config.write_text(json.dumps({**values, "name": name}, indent=2) + "\n", encoding="utf-8")
