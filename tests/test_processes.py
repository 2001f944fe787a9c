"""The processes that do the jobs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fhirtasks.errors import UserError
from fhirtasks.processes import runner

LATE = "import time; from fhirtasks.processes import _leave_with; _leave_with({parent}); time.sleep({seconds})"


def test_every_job_is_done_by_one_worker_and_by_two() -> None:
    for workers in (1, 2):
        with runner(workers) as run:
            assert sorted(run(abs, [-3, 2, -1])) == [1, 2, 3]


def test_a_killed_worker_is_told() -> None:
    with pytest.raises(UserError, match="killed"), runner(2) as run:
        list(run(os._exit, [9]))


@pytest.mark.parametrize(("parent", "ends"), [("0", 1), ("__import__('os').getppid()", 0)])
def test_a_worker_whose_parent_died_before_it_was_up_ends_too(parent: str, ends: int) -> None:
    script = LATE.format(parent=parent, seconds=60 if ends else 1.2)
    root = Path(__file__).parent.parent
    assert subprocess.run([sys.executable, "-c", script], check=False, cwd=root, timeout=50).returncode == ends


STOPPED = """
import time
from fhirtasks.processes import runner
if __name__ == "__main__":
    try:
        print("begun")
        with runner(2) as run:
            list(run(time.sleep, [60, 60]))
    except KeyboardInterrupt:
        print("stopped")
"""


@pytest.mark.parametrize("seconds", [0.02, 0.1, 0.2, 0.4, 1.5])
def test_ctrl_c_ends_workers_without_a_word(seconds: float, tmp_path: Path) -> None:
    """Before they are started, while they start, and while they work."""
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED)
    path = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [sys.executable, "-u", script], stdout=pipe, stderr=pipe, start_new_session=True, env=path
    ) as parent:
        assert parent.stdout is not None and parent.stdout.readline() == b"begun\n"
        time.sleep(seconds)
        os.killpg(parent.pid, signal.SIGINT)
        assert parent.communicate(timeout=30) == (b"stopped\n", b"")
