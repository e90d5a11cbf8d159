"""The Hugging Face cache: which bundles it holds, what their files must hash to, and clearing it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from sercli.errors import BundleError, ModelNotFoundError
from sercli.hub.digest import is_digest
from sercli.hub.reference import HubReference
from sercli.runtime.bundle import BUNDLE_FILES, CONFIG_FILE

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
    targets = {name: (folder / name).resolve() for name in BUNDLE_FILES if (folder / name).is_symlink()}
    return {
        name: target.name
        for name, target in targets.items()
        if target.parent.name == "blobs" and is_digest(target.name)
    }


def discard(path: Path) -> None:
    """Remove one file of a cached bundle, content and link.

    Raises:
        BundleError: it cannot be removed
    """
    content = path.resolve()
    try:
        path.unlink(missing_ok=True)
        if content.parent.name == "blobs":
            content.unlink(missing_ok=True)
    except OSError as problem:
        raise BundleError(f"{path}: damaged, and cannot be removed ({problem.strerror}); delete it") from problem


def remove(reference: HubReference, every_revision: bool = False) -> int:
    """Delete a repository's cached revision, or all of them.

    Returns:
        bytes freed

    Raises:
        ModelNotFoundError: nothing of it is cached
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
    deletion.execute()
    return int(deletion.expected_freed_size)
