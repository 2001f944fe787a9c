"""The texts of a load, in a file of its workplace from when they are read until they are written in their order.

What a load compares and sorts are their places here, 0, 1, …: a text is not copied with its row, and of a load larger than
the memory the system keeps at hand what it can.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from threading import Lock
from typing import Any

from fhirtasks.errors import UserError

_WINDOW = 1 << 26
_MOST = (1 << 31) - 1
"""Bytes that a window can have: Arrow counts them with 32 bits."""


class Texts:
    """An append-only file of texts, each at least 13 bytes long (Arrow keeps shorter ones elsewhere)."""

    def __init__(self, path: Path) -> None:
        import numpy as np

        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        self._windows: list[Any] = []
        self._begin = self._end = self._next = 0
        self._views = [np.zeros((0, 4), np.int32)]
        self._count = 0
        self._lock = Lock()

    def add(self, data: Any, starts: Any, lengths: Any) -> tuple[Any, Any]:
        """Keeps the texts that stand in ``data`` (bytes) at ``starts``, which are numpy arrays; gives their places and
        themselves, as pyarrow arrays. The latter use ``data``, which must not change.
        """
        import numpy as np
        import pyarrow as pa

        views = np.zeros((len(starts), 4), np.int32)  # as Arrow's: length, first four bytes, buffer, place in it
        views[:, 0] = lengths
        bytes_ = np.frombuffer(data, np.uint8)
        views.view(np.uint8)[:, 4:8] = bytes_[np.asarray(starts)[:, None] + np.arange(4)]
        views[:, 3] = starts
        raws = _array(views.copy(), [pa.py_buffer(data)])
        with self._lock:
            views[:, 3] += self._write(memoryview(data))
            views[:, 2] = len(self._windows) - 1
            places = pa.array(np.arange(self._count, self._count + len(views)))
            self._views.append(views)
            self._count += len(views)
        return places, raws

    def at(self, places: Any) -> Any:
        """The texts at ``places``; both are pyarrow arrays."""
        import numpy as np

        with self._lock:
            if len(self._views) > 1:
                self._views = [np.concatenate(self._views)]
            views = self._views[0]
        return _array(views[places.to_numpy()], self._windows)

    def close(self) -> None:
        """Closes the file; what was given of it stays good."""
        os.close(self._file)

    def _write(self, data: memoryview) -> int:
        """Appends to the window that has room, a new one if need be; gives the place in it."""
        import pyarrow as pa

        if self._next + len(data) > self._end:
            size = max(_WINDOW, -(-len(data) // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY)
            if size > _MOST:
                raise UserError("A resource of more than 2 GB cannot be loaded; leave it out.")
            self._begin = self._next = self._end
            self._end += size
            os.ftruncate(self._file, self._end)
            window = mmap.mmap(self._file, size, offset=self._begin, access=mmap.ACCESS_READ)
            self._windows.append(pa.py_buffer(window))
        offset = self._next - self._begin
        while data:
            written = os.pwrite(self._file, data, self._next)
            self._next += written
            data = data[written:]
        return offset


def _array(views: Any, buffers: list[Any]) -> Any:
    import pyarrow as pa

    return pa.Array.from_buffers(pa.string_view(), len(views), [None, pa.py_buffer(views), *buffers])
