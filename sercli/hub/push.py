"""Publish a bundle on the Hub: checked, with its card, in one commit."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from sercli.errors import HubError, UsageError
from sercli.hub import digest
from sercli.hub.card import CARD, card_text
from sercli.hub.check import check_bundle, local_paths
from sercli.hub.entry import Entry, Where, entry_of
from sercli.hub.facts import read_facts
from sercli.hub.pull import PICKLES, files_at
from sercli.hub.reference import DEFAULT_REVISION, PREFIX, HubReference, is_repository, is_revision
from sercli.hub.trouble import hub_trouble
from sercli.runtime.bundle import BUNDLE_FILES

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pushed:
    """What was published, or in a dry run would be."""

    name: str
    reference: HubReference
    """pinned to the commit; in a dry run to the main branch"""
    entry: Entry
    """for a manifest"""
    sizes: dict[str, int]
    """file name to bytes"""


def push(folder: Path, repository: str, *, tag: str = "", private: bool = False, dry_run: bool = False) -> Pushed:
    """Publish a bundle; a push that broke off is completed by the next one, one that changes nothing makes no commit.

    Args:
        folder: of the bundle, which is not written to; its card is made anew from metrics.json and recipe.yaml
        repository: owner/name, created if it is not there
        tag: of the commit
        private: create it so; one that exists stays as it is
        dry_run: check and describe, without a network

    Raises:
        UsageError: not a repository's name, or not a tag's
        BundleError: the bundle is incomplete or damaged
        ModelNotFoundError, HubError: the Hub cannot be reached or refuses; the tag stands on other files
    """
    repository = repository.removeprefix(PREFIX)
    if not is_repository(repository):
        raise UsageError(f"{repository!r} is no repository; write OWNER/NAME")
    if tag and not is_revision(tag):
        raise UsageError(f"{tag!r} is no name of a tag; write something like v1")
    _say_left_out(folder, check_bundle(folder))
    facts = read_facts(folder)
    if paths := local_paths(facts.recipe):
        logger.warning("%s: recipe.yaml names local folders (%s), which anybody will see", folder, ", ".join(paths))
    card = card_text(folder, repository, tag).encode()
    contents = {name: card if name == CARD else (folder / name).read_bytes() for name in BUNDLE_FILES}
    reference = HubReference(repository, DEFAULT_REVISION)
    if not dry_run:
        with hub_trouble(reference):
            reference = reference.at(_upload(reference, contents, tag, private))
        if wrong := _others(reference, contents):
            raise HubError(f"{reference}: the Hub has other files than were sent ({', '.join(wrong)}); push again")
    entry = entry_of(folder, Where(bundled=False, hub="" if dry_run else str(reference)), card.decode())
    return Pushed(facts.config.name, reference, entry, {name: len(content) for name, content in contents.items()})


def _upload(reference: HubReference, contents: dict[str, bytes], tag: str, private: bool) -> str:
    """Upload what has changed and tag it; returns the commit."""
    from huggingface_hub import CommitOperationAdd, HfApi

    api, repository = HfApi(), reference.repository
    api.create_repo(repository, private=private or None, exist_ok=True)
    tags = {item.name: item.target_commit for item in api.list_repo_refs(repository).tags} if tag else {}
    if tag in tags:  # of a push that is repeated, or of other files
        if _others(reference.at(tags[tag]), contents):
            raise HubError(f"{repository}: tag {tag} stands on other files; choose another tag (nothing uploaded)")
        return str(tags[tag])
    commit: str = api.create_commit(
        repository,
        [CommitOperationAdd(name, content) for name, content in contents.items()],
        commit_message=f"sercli zoo push{': ' + tag if tag else ''}",
    ).oid
    if tag:
        api.create_tag(repository, tag=tag, revision=commit)
    return commit


def _others(reference: HubReference, contents: dict[str, bytes]) -> list[str]:
    """Ask the Hub what it has there, and name the files that it lacks or has with other contents."""
    remote = files_at(reference)
    return [
        name
        for name, content in contents.items()
        if name not in remote or not digest.matches(content, remote[name].digest)
    ]


def _say_left_out(folder: Path, others: list[str]) -> None:
    pickles = [name for name in others if name.lower().endswith(PICKLES)]
    rest = [name for name in others if name not in pickles]
    if pickles:
        logger.warning("%s: ignored %s: sercli never publishes pickles", folder, ", ".join(pickles))
    if rest:
        logger.warning("%s: ignored %s: no part of a bundle", folder, ", ".join(rest))
