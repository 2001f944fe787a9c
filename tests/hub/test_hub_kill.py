"""Pushes killed at random moments: whatever is to be seen on the Hub is a whole version, and the last push ends well."""

from __future__ import annotations

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
    """A kill falls some moment after a random one of the requests that a push makes, so upon every stage of it."""
    rng = random.Random(51)
    command = [sys.executable, "-m", "fhirtasks", "push"]
    subprocess.run([*command, str(versions[0]), DATA, "--tag", "v1.0.0"], check=True, capture_output=True)
    before = len(hub.requests)
    subprocess.run([*command, str(versions[1]), DATA, "--tag", "v2.0.0"], check=True, capture_output=True)
    usual = len(hub.requests) - before
    hub.fault(r"^PUT|POST .*/(commit|tag|preupload)/|POST .*batch", times=10**6, wait=0.2)
    stages: dict[str, int] = {}
    for number in range(20):
        folder, tag = versions[number % 2], f"v{number + 3}.0.0"
        last = rng.randint(1, usual)
        before, commits = len(hub.requests), len(hub.repos[DATA].commits)
        client = subprocess.Popen(
            [*command, str(folder), DATA, "--tag", tag], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        while len(hub.requests) - before < last and client.poll() is None:
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))
        client.send_signal(how)
        _, error = client.communicate(timeout=300)
        # Python drops an interrupt that falls into a finalizer, and says so; the push then goes on.
        assert "Traceback" not in error or "Exception ignored in" in error, error
        time.sleep(0.5)  # a request that was sent whole may still take effect
        stage = "committed" if len(hub.repos[DATA].commits) > commits else "before its commit"
        stage = "tagged" if tag in hub.repos[DATA].tags else stage
        stages[stage] = stages.get(stage, 0) + 1
        for revision in ("main", *hub.repos[DATA].tags):
            assert_whole(hub.files(DATA, revision))
        again = subprocess.run([*command, str(folder), DATA, "--tag", tag], capture_output=True, text=True, check=False)
        assert again.returncode == 0 or f"has the tag {tag} already" in again.stderr, again.stderr
        assert_holds(hub.files(DATA, tag), folder)
        assert hub.files(DATA) == hub.files(DATA, tag)
    assert len(hub.repos[DATA].commits) == 23
    print(
        f"\n20 pushes of about {usual} requests stopped by {how.name}: {stages}; every version and main whole after each"
    )
