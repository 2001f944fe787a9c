"""A Hub on localhost for tests: what ``huggingface_hub`` and ``datasets`` ask of it, and faults made to order.

    with HubDouble() as hub:
        hub.user("token-of-ann", "ann", orgs=["clinic"])
        hub.fault("PUT /lfs/", cut_request=1000)          # the next upload loses its connection after 1,000 bytes
        ...                                               # clients run with HF_ENDPOINT=hub.endpoint
        hub.files("clinic/data", "v1.0.0")                # path -> bytes, as the double holds them

Repositories, commits and large files live in memory. A commit is applied whole, under a lock, or not at all.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import sys
import threading
import time
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LFS_FROM = 10 << 20
"""Bytes from which on a file is stored as a large one; Parquet always is."""
CHUNK = 1 << 16
INITIAL = {".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"}


@dataclass
class Commit:
    oid: str
    parent: str | None
    title: str
    files: dict[str, bytes]


@dataclass
class Repo:
    """A dataset repository; ``refs`` are branches."""

    owner: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], title: str, branch: str = "main") -> str:
        parent = self.refs.get(branch)
        listing = [(path, git_oid(content)) for path, content in sorted(files.items())]
        oid = hashlib.sha1(json.dumps([len(self.commits), parent, title, listing]).encode()).hexdigest()
        self.commits[oid] = Commit(oid, parent, title, files)
        self.refs[branch] = oid
        return oid

    def resolve(self, revision: str) -> Commit | None:
        oid = self.refs.get(revision) or self.tags.get(revision) or revision
        return self.commits.get(oid)

    def history(self, revision: str = "main") -> Iterator[Commit]:
        at = self.resolve(revision)
        while at is not None:
            yield at
            at = self.commits.get(at.parent) if at.parent else None


@dataclass
class Fault:
    """What happens to the next ``times`` requests whose "METHOD path" the pattern finds.

    ``cut_request``/``cut_response``: the connection breaks after so many bytes of the body. ``lose_response``: the request
    takes effect, the connection breaks instead of an answer. ``status``: it is refused so. ``wait``: seconds before it is
    looked at. ``gate``: it waits until all parties are there.
    """

    pattern: str
    times: int = 1
    cut_request: int | None = None
    cut_response: int | None = None
    lose_response: bool = False
    status: int | None = None
    wait: float = 0.0
    gate: threading.Barrier | None = None


class HubDouble:
    """The server and its state; a context manager that starts and stops it."""

    def __init__(self, port: int = 0) -> None:
        self.repos: dict[str, Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.users: dict[str, tuple[str, tuple[str, ...], bool]] = {}
        self.requests: list[str] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = _Server(("127.0.0.1", port), handler)
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> HubDouble:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def user(self, token: str, name: str, orgs: tuple[str, ...] = (), write: bool = True) -> None:
        self.users[token] = (name, orgs, write)

    def repo(self, name: str, owner: str, private: bool = True, files: dict[str, bytes] | None = None) -> Repo:
        """Makes a repository, as somebody else would have done before."""
        self.repos[name] = Repo(owner, private)
        self.repos[name].commit({**INITIAL, **(files or {})}, "initial commit")
        return self.repos[name]

    def fault(self, pattern: str, **what: Any) -> Fault:
        self.faults.append(Fault(pattern, **what))
        return self.faults[-1]

    def files(self, name: str, revision: str = "main") -> dict[str, bytes]:
        found = self.repos[name].resolve(revision)
        assert found is not None, f"{name} has no {revision}"
        return {path: content for path, content in found.files.items() if path not in INITIAL}

    def count(self, pattern: str) -> int:
        """How many requests were made whose "METHOD path" the pattern finds."""
        return sum(1 for request in self.requests if re.search(pattern, request))

    def take_fault(self, request: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times > 0 and re.search(fault.pattern, request):
                    fault.times -= 1
                    return fault
        return None


class _Broken(Exception):
    """The connection is gone."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed between two requests is nothing to tell of."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    hub: HubDouble
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client to acknowledge its head
    fault: Fault | None = None

    def log_message(self, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    # The way of a request

    def _serve(self) -> None:
        address = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(address.path)
        self.fault = self.hub.take_fault(f"{self.command} {path}")
        self.hub.requests.append(f"{self.command} {path}")
        try:
            if self.fault is not None:
                time.sleep(self.fault.wait)
                if self.fault.gate is not None:
                    self.fault.gate.wait(timeout=60)
            body = self._body()
            if self.fault is not None and self.fault.status is not None:
                self._answer(self.fault.status, {"error": "made to order"})
            else:
                self._route(address.path, urllib.parse.parse_qs(address.query), body)
        except (_Broken, ConnectionError, TimeoutError):
            self.close_connection = True

    def _body(self) -> bytes:
        cut = self.fault.cut_request if self.fault else None
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b"".join(self._chunks(cut))
        else:
            body = self.rfile.read(length if cut is None else min(cut, length))
        if cut is not None:
            self._break()
        if len(body) < length:
            raise _Broken
        return body

    def _chunks(self, cut: int | None) -> Iterator[bytes]:
        """The chunks of a body of unknown length, at most ``cut`` bytes of them."""
        read = 0
        while size := int(self.rfile.readline().split(b";")[0] or b"0", 16):
            wanted = size if cut is None else min(size, cut - read)
            chunk = self.rfile.read(wanted)
            if len(chunk) < wanted:
                raise _Broken
            yield chunk
            read += wanted
            if read == cut:
                return
            self.rfile.readline()
        self.rfile.readline()

    def _break(self) -> None:
        """Resets the connection, as a cable that is pulled does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        raise _Broken

    def _answer(self, status: int, value: Any = None, headers: dict[str, str] | None = None, raw: bytes = b"") -> None:
        if self.fault is not None and self.fault.lose_response:
            self._break()
        content = json.dumps(value).encode() if value is not None else raw
        self.send_response(status)
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        cut = self.fault.cut_response if self.fault else None
        for start in range(0, len(content) if cut is None else min(cut, len(content)), CHUNK):
            self.wfile.write(content[start : start + CHUNK][: None if cut is None else cut - start])
        if cut is not None:
            self.wfile.flush()
            self._break()

    def _refuse(self, status: int, code: str, message: str = "") -> None:
        self._answer(status, {"error": message or code}, {"X-Error-Code": code, "X-Error-Message": message or code})

    # Who asks, and for what

    def _who(self) -> tuple[str, tuple[str, ...], bool] | None:
        """The user of the request's token; None without one. A token that nobody has is answered 401 by the caller."""
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        return self.hub.users.get(token) if token else None

    def _route(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        hub = self.hub
        if path.startswith("/lfs/"):
            return self._upload(path.removeprefix("/lfs/"), body)
        who = self._who()
        if self.headers.get("Authorization") and who is None:
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        if path == "/api/whoami-v2":
            if who is None:
                return self._refuse(401, "", "Invalid credentials in Authorization header")
            return self._answer(200, {"name": who[0], "type": "user", "orgs": [{"name": org} for org in who[1]]})
        if path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            return self._create(json.loads(body), who)
        match = re.match(r"^(?:/api)?/datasets/([^/]+/[^/]+?)(?:\.git/info/lfs/objects/(batch)|/(.*))?$", path)
        if match is None:
            return self._refuse(404, "RepoNotFound")
        name, rest = match[1], match[2] or match[3] or ""
        repo = hub.repos.get(name)
        mine = who is not None and repo is not None and repo.owner in (who[0], *who[1])
        if repo is None or (repo.private and not mine):
            return self._refuse(401 if who is None else 404, "RepoNotFound", "Repository not found")
        verb, _, argument = rest.partition("/")
        writes = verb in ("preupload", "commit", "tag", "branch", "batch")
        if writes and not (mine and who is not None and who[2]):
            return self._refuse(403, "", "You don't have the rights to write to this repository")
        return self._repository(name, repo, verb, argument, query, body)

    def _repository(
        self, name: str, repo: Repo, verb: str, argument: str, query: dict[str, list[str]], body: bytes
    ) -> None:
        if verb == "batch":
            return self._batch(json.loads(body)["objects"])
        if verb == "resolve":
            return self._resolve(repo, *argument.split("/", 1))
        if verb in ("", "revision"):
            return self._info(name, repo, urllib.parse.unquote(argument or "main"))
        if verb == "refs":
            branches, tags = (
                [{"name": key, "ref": f"refs/{kind}/{key}", "targetCommit": oid} for key, oid in named.items()]
                for kind, named in (("heads", repo.refs), ("tags", repo.tags))
            )
            return self._answer(200, {"branches": branches, "tags": tags, "converts": []})
        revision, _, folder = argument.partition("/")
        commit = repo.resolve(urllib.parse.unquote(revision))
        if commit is None:
            return self._refuse(404, "RevisionNotFound")
        if verb == "preupload":
            return self._preupload(commit, json.loads(body)["files"])
        if verb == "commit":
            return self._commit(name, repo, urllib.parse.unquote(revision), body)
        if verb == "tag":
            return self._tag(repo, commit, json.loads(body)["tag"])
        if verb == "tree":
            recursive = query.get("recursive", ["false"])[0].lower() in ("1", "true")
            return self._tree(commit, urllib.parse.unquote(folder), recursive)
        if verb == "paths-info":
            is_json = "json" in self.headers.get("Content-Type", "")
            asked = json.loads(body)["paths"] if is_json else urllib.parse.parse_qs(body.decode()).get("paths", [])
            return self._answer(200, [entry for path in asked for entry in _entries(commit, path, recursive=False)])
        if verb == "commits":
            at = "2026-11-20T00:00:00.000Z"
            rows = [
                {"id": one.oid, "authors": [], "date": at, "title": one.title, "message": ""}
                for one in repo.history(commit.oid)
            ]
            return self._answer(200, rows)
        return self._refuse(404, "EntryNotFound", f"the double does not know {self.command} {verb}")

    # What it does

    def _create(self, asked: dict[str, Any], who: tuple[str, tuple[str, ...], bool] | None) -> None:
        if who is None:
            return self._refuse(401, "", "Invalid credentials in Authorization header")
        owner = asked.get("organization") or who[0]
        name = f"{owner}/{asked['name']}"
        if owner not in (who[0], *who[1]) or not who[2]:
            return self._refuse(403, "", f"You don't have the rights to create a dataset under the namespace {owner}")
        with self.hub.lock:
            if name in self.hub.repos:
                return self._answer(409, {"error": "You already created this dataset repo", "url": name})
            private = asked.get("private") or asked.get("visibility") == "private"
            self.hub.repo(name, owner, private=bool(private))
        return self._answer(200, {"url": f"{self.hub.endpoint}/datasets/{name}", "name": name, "id": name})

    def _info(self, name: str, repo: Repo, revision: str) -> None:
        commit = repo.resolve(revision)
        if commit is None:
            return self._refuse(404, "RevisionNotFound")
        about = {"id": name, "sha": commit.oid, "private": repo.private, "gated": False, "disabled": False, "tags": []}
        about |= {"downloads": 0, "likes": 0, "lastModified": "2026-11-20T00:00:00.000Z"}
        return self._answer(200, {**about, "siblings": [{"rfilename": path} for path in commit.files]})

    def _resolve(self, repo: Repo, revision: str, path: str) -> None:
        commit = repo.resolve(urllib.parse.unquote(revision))
        if commit is None:
            return self._refuse(404, "RevisionNotFound")
        content = commit.files.get(urllib.parse.unquote(path))
        if content is None:
            return self._refuse(404, "EntryNotFound")
        headers = {"ETag": f'"{_etag(path, content)}"', "X-Repo-Commit": commit.oid, "Accept-Ranges": "bytes"}
        asked = re.match(r"bytes=(\d*)-(\d*)$", self.headers.get("Range", ""))
        if asked is None or self.command == "HEAD":
            return self._answer(200, headers=headers, raw=content)
        if not asked[1]:
            first, last = max(0, len(content) - int(asked[2])), len(content) - 1
        else:
            first, last = int(asked[1]), min(int(asked[2] or len(content)), len(content) - 1)
        headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        return self._answer(206, headers=headers, raw=content[first : last + 1])

    def _batch(self, objects: list[dict[str, Any]]) -> None:
        rows = []
        for one in objects:
            upload = {"upload": {"href": f"{self.hub.endpoint}/lfs/{one['oid']}"}}
            rows.append({**one, **({} if one["oid"] in self.hub.lfs else {"actions": upload})})
        return self._answer(200, {"transfer": "basic", "objects": rows})

    def _upload(self, oid: str, body: bytes) -> None:
        if hashlib.sha256(body).hexdigest() != oid:
            return self._refuse(400, "", "the content has not the sha256 that was announced")
        self.hub.lfs[oid] = body
        return self._answer(200, {})

    def _preupload(self, commit: Commit, files: list[dict[str, Any]]) -> None:
        rows = []
        for file in files:
            large = _large(file["path"], file["size"])
            there = commit.files.get(file["path"])
            oid = None if there is None else _etag(file["path"], there)
            mode = "lfs" if large else "regular"
            rows.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": oid})
        return self._answer(200, {"files": rows})

    def _commit(self, name: str, repo: Repo, branch: str, body: bytes) -> None:
        header, *changes = [json.loads(line) for line in body.splitlines() if line.strip()]
        with self.hub.lock:
            head = repo.refs[branch]
            expected = header["value"].get("parentCommit")
            if expected and expected != head:
                return self._refuse(412, "", "A commit has happened since. Please refresh and try again.")
            files = dict(repo.commits[head].files)
            for change in changes:
                value = change["value"]
                if change["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif change["key"] == "lfsFile":
                    if value["oid"] not in self.hub.lfs:
                        return self._refuse(400, "", f"{value['path']} was not uploaded")
                    files[value["path"]] = self.hub.lfs[value["oid"]]
                elif change["key"] == "deletedFile":
                    del files[value["path"]]
                elif change["key"] == "deletedFolder":
                    files = {path: content for path, content in files.items() if not path.startswith(value["path"])}
            oid = repo.commit(files, header["value"]["summary"], branch)
        url = f"{self.hub.endpoint}/datasets/{name}/commit/{oid}"
        return self._answer(200, {"success": True, "commitOid": oid, "commitUrl": url, "hookOutput": ""})

    def _tag(self, repo: Repo, commit: Commit, tag: str) -> None:
        with self.hub.lock:
            if tag in repo.tags:
                return self._refuse(409, "", "Tag reference exists already")
            repo.tags[tag] = commit.oid
        return self._answer(200, {})

    def _tree(self, commit: Commit, folder: str, recursive: bool) -> None:
        rows = list(_entries(commit, folder, recursive=recursive, inside=True))
        return self._answer(200, rows) if rows or not folder else self._refuse(404, "EntryNotFound")


def git_oid(content: bytes) -> str:
    """A blob's id in git."""
    return hashlib.sha1(b"blob %d\0%s" % (len(content), content)).hexdigest()


def _large(path: str, size: int) -> bool:
    return size > 0 and (path.endswith(".parquet") or size >= LFS_FROM)


def _etag(path: str, content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if _large(path, len(content)) else git_oid(content)


def _entries(commit: Commit, path: str, *, recursive: bool, inside: bool = False) -> Iterator[dict[str, Any]]:
    """A file, or a folder (or what is ``inside`` it), as the Hub lists them."""
    if path in commit.files and not inside:
        yield _file(path, commit.files[path])
        return
    start = f"{path}/" if path else ""
    under = [name for name in sorted(commit.files) if name.startswith(start)]
    if not inside:
        if under:
            yield {"type": "directory", "path": path, "oid": "0" * 40, "size": 0}
        return
    folders: set[str] = set()
    for name in under:
        parts = name.removeprefix(start).split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            folder = start + "/".join(parts[:depth])
            if folder not in folders:
                folders.add(folder)
                yield {"type": "directory", "path": folder, "oid": "0" * 40, "size": 0}
        if recursive or len(parts) == 1:
            yield _file(name, commit.files[name])


def _file(path: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "oid": git_oid(content), "size": len(content)}
    if _large(path, len(content)):
        digest = hashlib.sha256(content).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {len(content)}\n".encode()
        entry["oid"] = git_oid(pointer)
        entry["lfs"] = {"oid": digest, "size": len(content), "pointerSize": len(pointer)}
    return entry
