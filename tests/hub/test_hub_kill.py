"""Pushes killed at random moments: whatever is to be seen on the Hub is a whole version, and the last push ends well."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_double import HubDouble
from hub_support import DATA, assert_holds, assert_whole


@pytest.mark.proof
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_pushes_killed_at_random_leave_whole_versions(
    hub: HubDouble, versions: tuple[Path, Path], how: signal.Signals
) -> None:
    rng = random.Random(51)
    command = [sys.executable, "-m", "fhirtasks", "push"]
    start = time.monotonic()
    subprocess.run([*command, str(versions[0]), DATA, "--tag", "v1.0.0"], check=True, capture_output=True)
    whole = time.monotonic() - start
    # A slow Hub, so that the kills fall upon uploads and commits too, not on the checks alone.
    hub.fault(r"^PUT|POST .*/(commit|tag|preupload)/|POST .*batch", times=10**6, wait=0.3)
    stopped = []
    for number in range(20):
        folder, tag = (versions[(number + 1) % 2], f"v{number + 2}.0.0")
        client = subprocess.Popen(
            [*command, str(folder), DATA, "--tag", tag], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        time.sleep(rng.uniform(0.2, 1.0) * (whole + 2.5))
        client.send_signal(how)
        _, error = client.communicate(timeout=60)
        assert "Traceback" not in error, error
        time.sleep(0.5)  # a request that was sent whole may still take effect
        stopped.append((tag, client.returncode, tag in hub.repos[DATA].tags))
        for revision in ("main", *hub.repos[DATA].tags):
            assert_whole(hub.files(DATA, revision))
        again = subprocess.run([*command, str(folder), DATA, "--tag", tag], capture_output=True, text=True, check=False)
        assert again.returncode == 0 or f"has the tag {tag} already" in again.stderr, again.stderr
        assert_holds(hub.files(DATA, tag), folder)
        assert hub.files(DATA) == hub.files(DATA, tag)
    assert any(code != 0 for _, code, _ in stopped)
    seen = sum(1 for request in hub.requests if "/commit/" in request)
    print(f"\n{how.name}: {sum(code != 0 for _, code, _ in stopped)} of 20 pushes killed, {seen} commits asked for,")
    print(
        f"{len(hub.repos[DATA].commits) - 1} made, {len(hub.repos[DATA].tags)} tags, every one whole; pid {os.getpid()}"
    )
