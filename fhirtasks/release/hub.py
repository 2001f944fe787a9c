"""What a push and a pull ask of the Hub: one dataset repository, its files and versions; what goes wrong in one sentence.

The ordinary settings hold: ``HF_ENDPOINT``, ``HF_TOKEN`` (or the token that ``hf auth login`` keeps).
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from fhirtasks.errors import UserError

_DATASET = "dataset"
_DISK = (errno.ENOSPC, errno.EDQUOT)


class Conflict(UserError):
    """Somebody else changed the branch since its head was read."""


class NotThere(UserError):
    """A repository or version that is not there, or that this token may not see."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file of a commit: its size, its id in git, and its sha256 where the Hub keeps it as a large file."""

    size: int
    git: str
    sha256: str | None

    def same(self, content: Path | bytes) -> bool:
        """Whether it holds just this."""
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        if size != self.size:
            return False
        if self.sha256 is not None:
            return self.sha256 == _digest(content, hashlib.sha256())
        return self.git == _digest(content, hashlib.sha1(b"blob %d\0" % size))


@dataclass(frozen=True, slots=True)
class Head:
    """A repository as it stands: the commit of ``main``, that commit's files, the tags' commits."""

    commit: str
    private: bool
    files: Mapping[str, RemoteFile]
    tags: Mapping[str, str]


class Remote:
    """A dataset repository ``ORG/NAME``. UserError for a name that can be none; with ``write``, where there is no token."""

    def __init__(self, name: str, *, write: bool = False) -> None:
        from huggingface_hub import HfApi, get_token
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils._validators import validate_repo_id
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        try:
            validate_repo_id(name)
        except HFValidationError:
            name = ""
        if name.count("/") != 1:
            raise UserError("A dataset's name on the Hub is ORG/NAME, of letters, digits, -, _ and .; give one.")
        token = get_token()
        if write and not token:
            raise UserError("There is no token for the Hub; set HF_TOKEN to one that may write, or run hf auth login.")
        if token and not token.isascii():
            raise UserError("What HF_TOKEN holds is no token; set it to one, or run hf auth login.")
        self.name = name
        self._api = HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token or False)
        self.endpoint = self._api.endpoint
        self.url = f"{self.endpoint}/datasets/{name}"

    def head(self) -> Head:
        """How it stands. :class:`NotThere` if there is no such repository, or none that the token may see."""
        with self._asking():
            info = self._api.dataset_info(self.name, revision="main")
            refs = self._api.list_repo_refs(self.name, repo_type=_DATASET)
        tags = {tag.name: tag.target_commit for tag in refs.tags}
        return Head(str(info.sha), bool(info.private), self.files(str(info.sha)), tags)

    def commit_of(self, tag: str | None) -> str:
        """The commit of a tag, or of ``main``. :class:`NotThere` names the tags that there are."""
        with self._asking():
            if tag is None:
                return str(self._api.dataset_info(self.name, revision="main").sha)
            tags = {one.name: one.target_commit for one in self._api.list_repo_refs(self.name, repo_type=_DATASET).tags}
        if tag not in tags:
            there = ", ".join(sorted(tags)) or "none"
            raise NotThere(f"{self.name} has no tag {tag}; it has {there}.")
        return tags[tag]

    def files(self, commit: str) -> dict[str, RemoteFile]:
        """The files of a commit, by path. UserError if one would leave the folder that it is put into."""
        with self._asking():
            found = {}
            for entry in self._api.list_repo_tree(self.name, recursive=True, revision=commit, repo_type=_DATASET):
                blob = getattr(entry, "blob_id", None)
                if not plain(entry.path):
                    raise UserError(
                        f"{self.name} has a file named {entry.path!r}, which leads out of its folder; do not use it."
                    )
                if blob is not None:
                    large = entry.lfs  # type: ignore[union-attr]
                    found[entry.path] = RemoteFile(entry.size, blob, large.sha256 if large else None)  # type: ignore[union-attr]
        return found

    def fetch(self, path: str, commit: str, folder: Path) -> Path:
        """Downloads a file to its place under ``folder``."""
        from huggingface_hub import hf_hub_download

        with self._asking():
            return Path(
                hf_hub_download(
                    self.name, path, repo_type=_DATASET, revision=commit, local_dir=folder, endpoint=self.endpoint,
                    token=self._api.token,
                )
            )  # fmt: skip

    def create(self, *, private: bool) -> None:
        """Makes the repository; one that is there stays as it is."""
        with self._asking():
            self._api.create_repo(self.name, repo_type=_DATASET, private=private, exist_ok=True)

    def commit(
        self, parent: str, add: Mapping[str, Path | bytes], delete: Sequence[str], *, title: str, text: str
    ) -> str:
        """One commit on ``main``, all or nothing; gives its id. :class:`Conflict` if ``main`` is no longer at ``parent``."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        operations: list[Any] = [CommitOperationDelete(path) for path in delete]
        operations += [CommitOperationAdd(path, content) for path, content in add.items()]
        with self._asking("the upload"):
            made = self._api.create_commit(
                self.name, operations, commit_message=title, commit_description=text, repo_type=_DATASET,
                revision="main", parent_commit=parent,
            )  # fmt: skip
        return str(made.oid)

    def tag(self, tag: str, commit: str) -> None:
        """Tags a commit; :class:`Conflict` if the tag is there."""
        with self._asking():
            self._api.create_tag(self.name, tag=tag, revision=commit, repo_type=_DATASET)

    @contextmanager
    def _asking(self, what: str = "the request") -> Iterator[None]:
        """Turns what the Hub and the network may answer into one sentence."""
        from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

        network = _network_errors()
        failures: tuple[type[Exception], ...] = (OSError, RuntimeError, ValueError, *network)
        try:
            yield
        except UserError:
            raise
        except OfflineModeIsEnabled:
            raise UserError("HF_HUB_OFFLINE is set, so the Hub cannot be asked; unset it.") from None
        except failures as error:
            cause = _root(error)
            if isinstance(cause, HfHubHTTPError):
                raise self._refused(cause) from None
            if isinstance(cause, OSError) and (cause.errno in _DISK or cause.filename is not None):
                raise cause from None
            if isinstance(cause, network):
                why = str(cause) or type(cause).__name__
                raise UserError(
                    f"{what} to {self.endpoint} broke off ({why}); check the network and HF_ENDPOINT, and run the same "
                    f"command again."
                ) from None
            raise UserError(f"{what} to {self.endpoint} failed ({error}); run the same command again.") from None

    def _refused(self, error: Any) -> UserError:
        """The sentence for what the Hub answered."""
        from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

        status = error.response.status_code
        if isinstance(error, RepositoryNotFoundError):
            return NotThere(
                f"There is no dataset {self.name} at {self.endpoint} that you may see; check the name, and that HF_TOKEN is "
                f"the token of somebody with access."
            )
        if isinstance(error, RevisionNotFoundError):
            return NotThere(f"{self.name} has no such version, or no commit yet; see {self.url}.")
        if status == 401:
            return UserError("The Hub does not know this token; set HF_TOKEN to a valid one (hf auth login keeps one).")
        if status == 403:
            return UserError(
                f"This token may not write to {self.name}; take one with the right to write, ask the owner for it, or push to "
                f"a name of your own."
            )
        if status in (409, 412):
            return Conflict(
                f"{self.name} was changed by somebody else since this push began, so nothing of it was published; see what is "
                f"there now ({self.url}), then push again."
            )
        if status == 429:
            return UserError(
                "The Hub asks for a pause (too many requests); run the same command again in a few minutes."
            )
        said = error.server_message or str(error).strip().splitlines()[0]
        return UserError(f"The Hub answered {status} ({said}); run the same command again later.")


def hidden(name: str) -> bool:
    """Whether a file or a folder above it begins with a dot: such belong to git, to the Hub, to the system."""
    return any(part.startswith(".") and part != ".." for part in name.split("/"))


def plain(name: str) -> bool:
    """Whether a name is a relative path that stays in its folder, written in one way."""
    parts = PurePosixPath(name).parts
    return bool(parts) and name == "/".join(parts) and not {"..", "/"} & set(parts) and not {"\\", "\0"} & set(name)


def _network_errors() -> tuple[type[Exception], ...]:
    """What the HTTP client beneath huggingface_hub raises: its base class, whichever client that is."""
    from huggingface_hub.errors import HfHubHTTPError

    base = HfHubHTTPError.__bases__[0]
    return (base, ConnectionError, TimeoutError)


def _root(error: BaseException) -> BaseException:
    """The Hub's or the network's error that an upload's error was raised from."""
    from huggingface_hub.errors import HfHubHTTPError

    while not isinstance(error, (HfHubHTTPError, *_network_errors())) and error.__cause__ is not None:
        error = error.__cause__
    return error


def _digest(content: Path | bytes, digest: Any) -> str:
    if isinstance(content, bytes):
        digest.update(content)
    else:
        with content.open("rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return str(digest.hexdigest())
