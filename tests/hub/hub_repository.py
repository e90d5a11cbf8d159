"""What a Hub keeps of a repository: commits, branches, tags and files, in memory."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from dataclasses import dataclass, field
from typing import Any

LFS_ENDINGS = (".safetensors", ".onnx", ".bin", ".pt", ".pkl")
LFS_BYTES = 10 * 2**20  # a larger file is kept apart, whatever its name
DATE = "2026-01-31T00:00:00.000Z"
_numbers = itertools.count()


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


@dataclass(frozen=True)
class StoredFile:
    content: bytes
    lfs: bool
    claimed_size: int | None = None
    """what listings say, if they lie"""

    @property
    def size(self) -> int:
        return len(self.content) if self.claimed_size is None else self.claimed_size

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def pointer(self) -> bytes:
        """What git has in place of a file that is kept apart."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {self.size}\n".encode()

    @property
    def blob(self) -> str:
        return git_sha1(self.pointer if self.lfs else self.content)

    @property
    def etag(self) -> str:
        return self.sha256 if self.lfs else self.blob

    def entry(self, path: str) -> dict[str, Any]:
        """As listings show it."""
        shown: dict[str, Any] = {"type": "file", "oid": self.blob, "size": self.size, "path": path}
        if self.lfs:
            shown["lfs"] = {"oid": self.sha256, "size": self.size, "pointerSize": len(self.pointer)}
        return shown


def stored(path: str, content: bytes) -> StoredFile:
    return StoredFile(content, path.endswith(LFS_ENDINGS) or len(content) > LFS_BYTES)


Files = dict[str, StoredFile]


@dataclass(frozen=True)
class Commit:
    sha: str
    parent: str | None
    files: Files
    title: str


@dataclass
class Repository:
    name: str
    private: bool = False
    gated: bool = False
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rules = "".join(f"*{ending} filter=lfs diff=lfs merge=lfs -text\n" for ending in LFS_ENDINGS)
        self.commit("main", {".gitattributes": stored(".gitattributes", rules.encode())}, "initial commit")

    def commit(self, branch: str, files: Files, title: str) -> str:
        parent = self.branches.get(branch)
        sha = hashlib.sha1(json.dumps([self.name, parent, title, next(_numbers)]).encode()).hexdigest()
        self.commits[sha] = Commit(sha, parent, files, title)
        self.branches[branch] = sha
        return sha

    def add(self, files: dict[str, bytes], title: str = "files") -> str:
        """Commit files as if somebody had pushed them; returns the commit."""
        head = self.commits[self.branches["main"]].files
        return self.commit("main", {**head, **{path: stored(path, data) for path, data in files.items()}}, title)

    def resolve(self, revision: str) -> str | None:
        sha = self.branches.get(revision) or self.tags.get(revision)
        return sha or (revision if revision in self.commits else None)

    def files(self, sha: str) -> Files:
        return self.commits[sha].files

    def info(self, sha: str, blobs: bool = False) -> dict[str, Any]:
        card = self._card(sha)
        siblings: list[dict[str, Any]] = []
        for path, file in sorted(self.files(sha).items()):
            entry = file.entry(path)
            more = {"size": entry["size"], "blobId": entry["oid"]} if blobs else {}
            if blobs and "lfs" in entry:
                lfs = entry["lfs"]
                more["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
            siblings.append({"rfilename": path, **more})
        return {
            **{"_id": "0" * 24, "id": self.name, "modelId": self.name, "author": self.name.split("/")[0], "sha": sha},
            **{"lastModified": DATE, "createdAt": DATE, "private": self.private, "disabled": False},
            **{"gated": "manual" if self.gated else False, "downloads": 0, "likes": 0, "spaces": []},
            **{"tags": card.get("tags", []), "pipeline_tag": card.get("pipeline_tag"), "cardData": card},
            **{"library_name": card.get("library_name"), "siblings": siblings, "usedStorage": 0},
        }

    def _card(self, sha: str) -> dict[str, Any]:
        import yaml

        readme = self.files(sha).get("README.md")
        match = re.match(rb"---\r?\n(.*?)\r?\n---", readme.content, re.DOTALL) if readme else None
        return (yaml.safe_load(match[1]) if match else None) or {}
