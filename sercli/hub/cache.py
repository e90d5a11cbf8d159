"""The Hugging Face cache: which bundles it holds, what their files must hash to, and clearing it."""

from __future__ import annotations

import errno
import os
from collections.abc import Collection
from pathlib import Path

from sercli.errors import BundleError, ModelNotFoundError, OutputError, first_line
from sercli.hub.digest import is_digest
from sercli.hub.reference import HubReference
from sercli.runtime.bundle import BUNDLE_FILES, CONFIG_FILE

BLOBS = "blobs"
"""Folder of a cached repository in which contents lie, each under its digest."""
REQUIRED = (CONFIG_FILE, "model.onnx")
"""A folder without these is no student."""


def cached(reference: HubReference, files: Collection[str] = ()) -> Path | None:
    """Find a whole bundle in the cache; the network is not touched.

    Args:
        reference: pinned
        files: that it has; empty where nobody said, and the cache must know of each file of a bundle that it is there
            or that the repository has none

    Returns:
        its folder, or None
    """
    from huggingface_hub import try_to_load_from_cache

    folder = None
    for name in files or BUNDLE_FILES:
        found = try_to_load_from_cache(reference.repository, name, revision=reference.revision)
        if isinstance(found, str):
            folder = Path(found).parent
        elif found is None or name in REQUIRED or files:
            return None
    return folder


def digests(folder: Path) -> dict[str, str]:
    """Read what the files of a cached bundle must hash to off the cache itself, which names contents by their hash.

    Caches on file systems without symbolic links do not say it; then there is nothing to compare with.
    """
    blobs = {name: _blob(folder / name) for name in BUNDLE_FILES}
    return {name: blob.name for name, blob in blobs.items() if blob.parent.name == BLOBS and is_digest(blob.name)}


def discard(path: Path) -> None:
    """Remove one file of a cached bundle: its links and its content, also where other repositories share it.

    Raises:
        BundleError: it cannot be removed
    """
    from huggingface_hub import constants

    content, blob = path.resolve(), _blob(path)
    try:
        path.unlink(missing_ok=True)
        if blob.parent.name == BLOBS:
            blob.unlink(missing_ok=True)
        if content.is_relative_to(Path(constants.HF_HUB_CACHE).resolve()):
            content.unlink(missing_ok=True)
    except OSError as problem:
        raise BundleError(f"{path}: damaged, and cannot be removed ({problem.strerror}); delete it") from problem


def remove(reference: HubReference, every_revision: bool = False) -> int:
    """Delete a repository's cached revision, or all of them.

    Returns:
        bytes freed

    Raises:
        ModelNotFoundError: nothing of it is cached
        OutputError: it cannot be deleted
    """
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir(constants.HF_HUB_CACHE)
    except (CacheNotFound, ValueError):  # the latter where it is a file
        raise ModelNotFoundError(f"{reference}: not in the cache") from None
    commits = {
        revision.commit_hash
        for repository in cache.repos
        if (repository.repo_type, repository.repo_id) == ("model", reference.repository)
        for revision in repository.revisions
        if every_revision or reference.revision in (revision.commit_hash, *revision.refs)
    }
    if not commits:
        raise ModelNotFoundError(f"{reference}: not in the cache")
    deletion = cache.delete_revisions(*commits)
    places = [path.parent for path in (*deletion.repos, *deletion.snapshots)]
    try:
        if not all(os.access(place, os.W_OK) for place in places):  # huggingface_hub would only log it
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        deletion.execute()
    except OSError as problem:
        raise OutputError(
            f"{reference}: cannot be deleted from {constants.HF_HUB_CACHE} ({first_line(problem)}); check its rights"
        ) from problem
    return int(deletion.expected_freed_size)


def _blob(path: Path) -> Path:
    """Find what a link of a snapshot names: `blobs/DIGEST`, itself a link where repositories share contents."""
    return path.parent / path.readlink() if path.is_symlink() else path
