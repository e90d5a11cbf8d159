"""Hashes of files: sha256, or the git hash by which a Hub knows its small files."""

from __future__ import annotations

import hashlib
import re

_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
SHA256_DIGITS = 64


def sha256(content: bytes) -> str:
    """Hash a file's content."""
    return hashlib.sha256(content).hexdigest()


def git_sha1(content: bytes) -> str:
    """Hash a file's content as git names its blob."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def matches(content: bytes, digest: str) -> bool:
    """Compare a file's content with its digest: 64 hex digits are a sha256, 40 a git blob."""
    return (sha256(content) if len(digest) == SHA256_DIGITS else git_sha1(content)) == digest


def is_digest(text: str) -> bool:
    """Say whether a text is a digest of either kind."""
    return _DIGEST.fullmatch(text) is not None
