"""A Hugging Face Hub on the loopback interface, as huggingface_hub speaks to it: standard library, in memory.

Models only. Repositories (create, private, gated), refs, tags, info, tree in pages, paths-info, uploads (preupload, LFS
batch, PUT, verify, commit as NDJSON), downloads with HEAD, Range and the redirect of LFS files to another host, and the
errors RepoNotFound, RevisionNotFound, EntryNotFound, GatedRepo, 401, 403, 409, 412. `faults` spoils answers on purpose.
Left out: Xet, multipart uploads, pull requests, datasets and spaces.

One account, `tester`, with the token of `TOKEN`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from hub_repository import Repository, StoredFile, stored

TOKEN = "hf_tokenOfTheTestsThatNobodyMaySee"
PAGE = 3  # entries of a listing before it continues on another page


@dataclass
class Faults:
    """What goes wrong; a path is that of a file in a repository."""

    altered: set[str] = field(default_factory=set)
    """sent with other content of the same length"""
    short: set[str] = field(default_factory=set)
    """sent with fewer bytes than the listing says, as if that were all"""
    broken_off: dict[str, int] = field(default_factory=dict)
    """connection closed in the middle, so many times"""
    silent: set[str] = field(default_factory=set)
    """calls whose path has one of these in it are never answered"""
    failing_tags: int = 0
    """setting a tag ends in HTTP 500, so many times"""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes
    endpoint: str

    @property
    def authorised(self) -> bool:
        return self.headers.get("authorization") == f"Bearer {TOKEN}"

    def json(self) -> Any:
        return json.loads(self.body or b"{}")


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    close_after: int | None = None
    """bytes of the body after which the connection is closed"""


def reply(status: int, value: object, **headers: str) -> Reply:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(status, json.dumps(value).encode(), {"Content-Type": "application/json", **named})


def refusal(status: int, code: str, message: str, **headers: str) -> Reply:
    return reply(status, {"error": message}, X_Error_Code=code, X_Error_Message=message, **headers)


NO_RIGHTS = reply(403, {"error": "You don't have the rights"}, X_Error_Message="You don't have the rights")


class Missing(Exception):
    """Ends the handling of a request with an error's reply."""

    def __init__(self, answer: Reply) -> None:
        self.answer = answer


class Hub:
    """`with Hub() as hub` serves it on a free port."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.lfs: dict[str, bytes] = {}
        self.faults = Faults()
        self.requests: list[tuple[str, str, int]] = []
        """method, path with query, status"""
        self.ranges: list[str] = []
        """Range headers of downloads"""
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.hub = self  # type: ignore[attr-defined]
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> Hub:
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()

    def repository(self, name: str) -> Repository:
        """One of any name, made if it is not there."""
        return self.repositories.setdefault(name, Repository(name))

    def answer(self, request: Request) -> Reply:
        routes: list[tuple[str, str, Callable[..., Reply]]] = [
            ("GET", r"/api/whoami-v2", self._whoami),
            ("POST", r"/api/validate-yaml", lambda _: reply(200, {"errors": [], "warnings": []})),
            ("POST", r"/api/repos/create", self._create),
            ("GET", r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self._info),
            ("GET", r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", self._tree),
            ("POST", r"/api/models/([^/]+/[^/]+)/paths-info/([^/]+)", self._paths_info),
            ("GET", r"/api/models/([^/]+/[^/]+)/refs", self._refs),
            ("POST", r"/api/models/([^/]+/[^/]+)/tag/([^/]+)", self._tag),
            ("POST", r"/api/models/([^/]+/[^/]+)/preupload/([^/]+)", self._preupload),
            ("POST", r"/api/models/([^/]+/[^/]+)/commit/([^/]+)", self._commit),
            ("POST", r"/([^/]+/[^/]+?)\.git/info/lfs/objects/batch", self._lfs_batch),
            ("POST", r"/_lfs/verify", self._lfs_verify),
            ("PUT", r"/_lfs/([0-9a-f]{64})", self._lfs_put),
            ("GET", r"/_lfs/([0-9a-f]{64})/(.+)", self._lfs_get),
            ("GET", r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self._resolve),
        ]
        method = "GET" if request.method == "HEAD" else request.method
        for verb, pattern, handle in routes:
            match = re.fullmatch(pattern, request.path)
            if match and verb == method:
                try:
                    return handle(request, *(part and unquote(part) for part in match.groups()))
                except Missing as problem:
                    return problem.answer
        return reply(404, {"error": f"unknown call {request.method} {request.path}"})

    # Looking things up

    def _found(self, request: Request, name: str) -> Repository:
        repository = self.repositories.get(name)
        if repository is None or (repository.private and not request.authorised):
            raise Missing(refusal(404 if request.authorised else 401, "RepoNotFound", "Repository not found"))
        return repository

    def _sha(self, repository: Repository, revision: str | None) -> str:
        sha = repository.resolve(revision or "main")
        if sha is None:
            raise Missing(refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}"))
        return sha

    def _writable(self, request: Request, name: str) -> Repository:
        if not request.authorised:
            raise Missing(reply(401, {"error": "Invalid username or password."}))
        if not name.startswith(("tester/", "serzoo/")):
            raise Missing(NO_RIGHTS)
        return self._found(request, name)

    # Reading

    def _whoami(self, request: Request) -> Reply:
        if not request.authorised:
            return reply(401, {"error": "Invalid username or password."})
        return reply(200, {"type": "user", "name": "tester", "orgs": [{"type": "org", "name": "serzoo"}]})

    def _info(self, request: Request, name: str, revision: str | None) -> Reply:
        repository = self._found(request, name)
        return reply(200, repository.info(self._sha(repository, revision), "blobs" in request.query))

    def _tree(self, request: Request, name: str, revision: str) -> Reply:
        """All files, in pages that a Link header joins."""
        repository = self._found(request, name)
        sha = self._sha(repository, revision)
        entries = [file.entry(path) for path, file in sorted(repository.files(sha).items())]
        start = int(request.query.get("cursor", ["0"])[0])
        page = reply(200, entries[start : start + PAGE])
        if start + PAGE < len(entries):
            link = f"{request.endpoint}{request.path}?recursive=true&expand=false&cursor={start + PAGE}"
            page.headers["Link"] = f'<{link}>; rel="next"'
        return page

    def _paths_info(self, request: Request, name: str, revision: str) -> Reply:
        repository = self._found(request, name)
        files = repository.files(self._sha(repository, revision))
        asked = parse_qs(request.body.decode()).get("paths", [])
        return reply(200, [files[path].entry(path) for path in asked if path in files])

    def _refs(self, request: Request, name: str) -> Reply:
        repository = self._found(request, name)

        def shown(named: dict[str, str], prefix: str) -> list[dict[str, str]]:
            return [{"name": name, "ref": prefix + name, "targetCommit": sha} for name, sha in named.items()]

        branches, tags = shown(repository.branches, "refs/heads/"), shown(repository.tags, "refs/tags/")
        return reply(200, {"branches": branches, "tags": tags, "converts": [], "pullRequests": []})

    def _resolve(self, request: Request, name: str, revision: str, path: str) -> Reply:
        repository = self._found(request, name)
        sha = self._sha(repository, revision)
        file = repository.files(sha).get(path)
        if file is None:
            return refusal(404, "EntryNotFound", "Entry not found", X_Repo_Commit=sha)
        if repository.gated:
            return refusal(403 if request.authorised else 401, "GatedRepo", "Access to this model is restricted.")
        headers = {"X-Repo-Commit": sha, "Accept-Ranges": "bytes", "ETag": f'"{file.etag}"'}
        if not file.lfs:
            return self._content(request, path, file, headers)
        # Clients take a redirect to the host they asked for a renamed repository and lose these headers.
        other = request.endpoint.replace("127.0.0.1", "localhost")
        headers |= {"X-Linked-ETag": f'"{file.sha256}"', "X-Linked-Size": str(file.size)}
        return Reply(302, b"", {**headers, "Location": f"{other}/_lfs/{file.sha256}/{path}"})

    def _lfs_get(self, request: Request, sha256: str, path: str) -> Reply:
        if "authorization" in request.headers:
            return reply(400, {"error": "a token was sent to the storage, which must not have it"})
        return self._content(request, path, StoredFile(self._object(sha256), True), {"ETag": f'"{sha256}"'})

    def _object(self, sha256: str) -> bytes:
        if sha256 in self.lfs:
            return self.lfs[sha256]
        for repository in self.repositories.values():
            for commit in repository.commits.values():
                for file in commit.files.values():
                    if file.lfs and file.sha256 == sha256:
                        return file.content
        raise Missing(reply(404, {"error": "no such object"}))

    def _content(self, request: Request, path: str, file: StoredFile, headers: dict[str, str]) -> Reply:
        content, headers = file.content, {"Content-Type": "application/octet-stream", **headers}
        if path in self.faults.altered:
            content = bytes([content[0] ^ 1]) + content[1:]
        if request.method == "GET" and path in self.faults.short:
            return Reply(200, content[: len(content) // 2], headers)
        status, match = 200, re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
        if match:
            self.ranges.append(match[0])
            first, last = int(match[1]), min(int(match[2] or len(content) - 1), len(content) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
            status, content = 206, content[first : last + 1]
        if request.method == "GET" and self.faults.broken_off.get(path, 0) > 0:
            self.faults.broken_off[path] -= 1
            return Reply(status, content, headers, close_after=len(content) // 2)
        return Reply(status, content, headers)

    # Writing

    def _create(self, request: Request) -> Reply:
        asked = request.json()
        name = f"{asked.get('organization') or 'tester'}/{asked['name']}"
        if not request.authorised:
            return reply(401, {"error": "Invalid username or password."})
        if not name.startswith(("tester/", "serzoo/")):
            return NO_RIGHTS
        url = f"{request.endpoint}/{name}"
        if name in self.repositories:
            return reply(409, {"error": "You already created this model repo", "url": url})
        private = bool(asked.get("private")) or asked.get("visibility") == "private"
        self.repositories[name] = Repository(name, private)
        return reply(200, {"url": url, "name": name, "id": name})

    def _tag(self, request: Request, name: str, revision: str) -> Reply:
        repository, tag = self._writable(request, name), request.json()["tag"]
        if self.faults.failing_tags > 0:
            self.faults.failing_tags -= 1
            return reply(500, {"error": "out of order"})
        if tag in repository.tags:
            return reply(409, {"error": "Tag already exists"})
        repository.tags[tag] = self._sha(repository, revision)
        return reply(200, {})

    def _preupload(self, request: Request, name: str, revision: str) -> Reply:
        repository = self._writable(request, name)
        current = repository.files(self._sha(repository, revision))
        answers = []
        for asked in request.json()["files"]:
            path, known = asked["path"], current.get(asked["path"])
            mode = "lfs" if stored(path, b"").lfs or asked["size"] > 10 * 2**20 else "regular"
            oid = None if known is None else known.etag
            answers.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return reply(200, {"files": answers})

    def _commit(self, request: Request, name: str, branch: str) -> Reply:
        repository = self._writable(request, name)
        head = self._sha(repository, branch)
        header, *changes = [json.loads(line) for line in request.body.splitlines() if line.strip()]
        if header["value"].get("parentCommit") not in (None, head):
            return reply(412, {"error": "A commit has happened since. Please refresh and try again."})
        files = dict(repository.files(head))
        for change in changes:
            value = change["value"]
            if change["key"] == "file":
                files[value["path"]] = StoredFile(base64.b64decode(value["content"]), False)
            elif change["key"] == "lfsFile":
                files[value["path"]] = StoredFile(self.lfs[value["oid"]], True)
            elif change["key"] == "deletedFile":
                files.pop(value["path"], None)
            else:
                return reply(400, {"error": f"unknown change {change['key']}"})
        sha = repository.commit(branch, files, header["value"]["summary"])
        url = f"{request.endpoint}/{name}/commit/{sha}"
        return reply(200, {"success": True, "commitUrl": url, "commitOid": sha, "hookOutput": ""})

    def _lfs_batch(self, request: Request, name: str) -> Reply:
        self._writable(request, name)
        objects = []
        for asked in request.json()["objects"]:
            answer: dict[str, Any] = {"oid": asked["oid"], "size": asked["size"]}
            if asked["oid"] not in self.lfs:
                upload = {"href": f"{request.endpoint}/_lfs/{asked['oid']}", "header": {}}
                verify = {"href": f"{request.endpoint}/_lfs/verify", "header": {}}
                answer["actions"] = {"upload": upload, "verify": verify}
            objects.append(answer)
        return reply(200, {"transfer": "basic", "objects": objects}, Content_Type="application/vnd.git-lfs+json")

    def _lfs_put(self, request: Request, sha256: str) -> Reply:
        if hashlib.sha256(request.body).hexdigest() != sha256:
            return reply(422, {"error": "content does not match its sha256"})
        self.lfs[sha256] = request.body
        return Reply(200)

    def _lfs_verify(self, request: Request) -> Reply:
        asked = request.json()
        held = self.lfs.get(asked["oid"])
        return reply(200 if held is not None and len(held) == asked["size"] else 422, {})


class Handler(BaseHTTPRequestHandler):
    """Turns HTTP into requests and replies into HTTP."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _handle(self) -> None:
        hub: Hub = self.server.hub  # type: ignore[attr-defined]
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = parse_qs(url.query, keep_blank_values=True)
        endpoint = f"http://{headers.get('host', 'localhost')}"
        request = Request(self.command, url.path, query, headers, self._body(), endpoint)
        if any(part in url.path for part in hub.faults.silent):
            hub.closing.wait()
            self.close_connection = True
            return
        with hub.lock:
            answer = hub.answer(request)
            hub.requests.append((self.command, self.path, answer.status))
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body[: answer.close_after])
        if answer.close_after is not None:
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _handle
