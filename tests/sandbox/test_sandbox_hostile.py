"""Ten thousand hostile runs, one after another, leave nothing behind: no process, file, descriptor or memory."""

from __future__ import annotations

import gc
import os
import random
import time
from collections import Counter
from pathlib import Path

import pytest
from sandbox_support import Box, run

from fhirtasks.sandbox.execution import Limits

LIMITS = Limits(seconds=0.25, memory=64 << 20)
RUNS = 10_000
ENDLESS = 100
"""Of these, runs that only time stops."""
GROWTH = 48 << 20
"""Bytes of memory that all our processes together may hold more after the runs than before."""

HOSTILE = (
    "open('/etc/passwd')",
    "open('made', 'w').write('x' * 9)",
    "import os\nos.mkdir('made')",
    "import os\nos.symlink('/', 'made')",
    "import os\nos.fork()",
    "import os\nwhile True: os.fork()",
    "import os\nos.system('sleep 60 &')",
    "import os\nos.kill(-1, 9)",
    "import subprocess\nsubprocess.Popen(['sleep', '60'])",
    "import multiprocessing\nmultiprocessing.Process(target=print).start()",
    "import threading\nthreading.Thread(target=print).start()",
    "import socket\nsocket.create_server(('', 0))",
    "import os\nos.pipe()",
    "import os\nos.memfd_create('x')",
    "import mmap\nm = [mmap.mmap(-1, 1 << 20) for _ in range(1000)]",
    "x = bytearray(1 << 30)",
    "x = ['x']\nwhile True: x = x + x",
    "x = 'a' * 10**10",
    "def f(n):\n  return f(n + 1)\nf(0)",
    "import sys\nsys.setrecursionlimit(10**9)\ndef f(n):\n  return f(n + 1)\nf(0)",
    "while True: print('flood of output' * 9)",
    "print('x' * 2_000_000)",
    "raise ValueError('x' * 10**6)",
    "x = [1]\nx.append(x)\nprint(x)",
    "import ctypes\nctypes.string_at(0)",
    "import os\nos.abort()",
    "import os\nos._exit(3)",
    "import os\nos.close(3)",
    "import os\nos.write(3, b'e' * 70)",
    "import os\nos.write(3, b'o\\xff\\xff\\xff\\xff')",
    "import os\nos.closerange(0, 99)",
    "import signal\nsignal.raise_signal(9)",
    "import gc\ngc.disable()\nfor _ in range(9999):\n  x = []\n  x.append(x)",
    "import pickle\npickle.loads(b'cos\\nsystem\\n(S\\'id\\'\\ntR.')",
    "import atexit\natexit.register(print)",
    "raise SystemExit(1)",
    "input()",
    "import faulthandler\nfaulthandler._sigsegv()",
)
TIMED = (
    "while True: pass",
    "import re\nre.match('(a+)+$', 'a' * 40 + 'b')",
    "9 ** 9 ** 9",
    "sum(range(10**15))",
    "class A:\n  def __del__(self):\n    while True: pass\nA()\nraise ValueError",
)


@pytest.mark.proof
def test_ten_thousand_hostile_runs_leave_nothing(tier: Box, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rng = random.Random(1)
    codes = [rng.choice(HOSTILE) for _ in range(RUNS - ENDLESS)] + [rng.choice(TIMED) for _ in range(ENDLESS)]
    rng.shuffle(codes)
    for code in codes[:200]:  # what is made on first use is there
        run(tier, code, LIMITS)
    before = _held()
    start = time.perf_counter()
    ends: Counter[str] = Counter()
    for code in codes:
        ends[run(tier, code, LIMITS).end] += 1
    spent = time.perf_counter() - start
    assert run(tier, "print('alive')", LIMITS).output == "alive\n"
    after = _held()
    print(
        f"\n{type(tier).__name__}: {RUNS:,} hostile runs in {spent:.0f} s; ends {dict(ends)}; before {before}, after {after}"
    )
    assert after["processes"] <= before["processes"]
    assert after["descriptors"] <= before["descriptors"]
    assert after["files"] == before["files"] == 0
    assert after["memory"] - before["memory"] < GROWTH


def _held() -> dict[str, int]:
    """Processes of ours, our open descriptors, files in our folder, memory of all these processes (bytes)."""
    gc.collect()
    family = _family(os.getpid())
    pages = 0
    for pid in family:
        _, resident, shared, *_ = map(int, Path(f"/proc/{pid}/statm").read_text().split())
        pages += resident - shared
    files = len(os.listdir("/proc/self/fd")) - 1
    memory = pages * os.sysconf("SC_PAGE_SIZE")
    return {"processes": len(family), "descriptors": files, "files": len(os.listdir()), "memory": memory}


def _family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    above = {}
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            above[int(entry)] = int(Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it ended just now
            continue
    found = [pid]
    for one in found:
        found += [child for child, parent in above.items() if parent == one]
    return found
