"""The standard library in memory: modules are imported from bytes that were read before all files were taken away."""

from __future__ import annotations

import importlib
import marshal
import mmap
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.machinery import BuiltinImporter, FrozenImporter, ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType
from typing import Final

_SKIPPED: Final = frozenset((
    "test", "tests", "idlelib", "tkinter", "turtledemo", "lib2to3", "ensurepip", "site-packages", "venv", "pydoc_data",
    "lib-dynload", "__pycache__", "__phello__",
))  # fmt: skip
"""Folders of the library without anything to compute with."""

_EXTENSIONS: Final = (
    "_bisect", "_blake2", "_bz2", "_contextvars", "_csv", "_ctypes", "_datetime", "_decimal", "_elementtree",
    "_heapq", "_json", "_lzma", "_md5", "_multibytecodec", "_opcode", "_pickle", "_posixsubprocess", "_queue",
    "_random", "_sha1", "_sha2", "_sha256", "_sha3", "_sha512", "_socket", "_statistics", "_struct", "_typing", "_uuid",
    "array", "binascii", "cmath", "fcntl", "grp", "math", "mmap", "pyexpat", "resource", "select",
    "unicodedata", "zlib",
)  # fmt: skip
"""Modules in C: they are loaded before, because they cannot be from memory. A Python that lacks one goes without it."""

_WARM: Final = (
    "bisect", "calendar", "collections", "contextlib", "copy", "ctypes", "datetime", "decimal", "functools",
    "hashlib", "heapq", "itertools", "json", "linecache", "math", "operator", "random", "re", "statistics", "string",
    "time", "traceback", "typing", "uuid",
)  # fmt: skip
"""What analysts import, ready before a run begins."""


class Library:
    """Finds and loads modules by name from the code that :func:`install` read; knows no path."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        # Name -> whether it is a package, and where its code stands.
        index = int.from_bytes(memory[-8:], "big")
        self._places: dict[str, tuple[bool, int, int]] = marshal.loads(memory[index:-8])

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for a module of the library; None for any other."""
        if name not in self._places:
            return None
        return ModuleSpec(name, self, is_package=self._places[name][0])  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> None:
        """The usual module."""

    def exec_module(self, module: ModuleType) -> None:
        """Runs the module's code in it."""
        _, start, size = self._places[module.__name__]
        exec(marshal.loads(self._memory[start : start + size]), module.__dict__)


def install() -> None:
    """Reads the library, imports what is warm, and leaves no other way to import."""
    finder = Library(_read(os.path.dirname(os.__file__)))
    # No child forks: what modules want done in one would only slow it down.
    os.register_at_fork = lambda **_: None
    for name in ("_hashlib", "_asyncio"):  # large, and there is Python in their place
        sys.modules[name] = None  # type: ignore[assignment]
    for name in (*_EXTENSIONS, *_WARM):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    sys.meta_path[:] = [BuiltinImporter, FrozenImporter, finder]
    sys.path.clear()
    sys.path_hooks.clear()
    sys.path_importer_cache.clear()
    for module in list(sys.modules.values()):
        for name in ("__file__", "__cached__"):
            if isinstance(module, ModuleType):
                module.__dict__.pop(name, None)


def _read(root: str) -> mmap.mmap:
    """Shared memory with the library's code, marshalled, then the index and where it begins; read by a process that ends then.

    So neither the zygote nor a child of it holds a page more: shared ones are not copied in a fork.
    """
    file = os.memfd_create("library")
    pid = os.fork()
    if pid == 0:
        try:
            places, pieces, start = {}, [], 0
            for name, package, code in _modules(root):
                text = marshal.dumps(code)
                places[name] = (package, start, len(text))
                pieces.append(text)
                start += len(text)
            with open(file, "wb", closefd=False) as out:
                out.write(b"".join([*pieces, marshal.dumps(places), start.to_bytes(8, "big")]))
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(pid, 0)[1]:
        raise OSError("the standard library cannot be read")
    # Opened anew for reading: what one child could make writable, the next would import.
    reading = os.open(f"/proc/self/fd/{file}", os.O_RDONLY)
    os.close(file)
    memory = mmap.mmap(reading, 0, prot=mmap.PROT_READ)
    os.close(reading)
    return memory


def _modules(root: str) -> Iterator[tuple[str, bool, CodeType]]:
    """Name, whether it is a package, and code of every module of the library that is written in Python."""
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if name not in _SKIPPED and not name.startswith("config-"))
        above = [] if folder == root else os.path.relpath(folder, root).split(os.sep)
        for file in sorted(files):
            stem, kind = os.path.splitext(file)
            package = stem == "__init__"
            name = ".".join(above if package else [*above, stem])
            if kind == ".py" and name:
                code = SourceFileLoader(name, os.path.join(folder, file)).get_code(name)
                if code is not None:
                    yield name, package, code
