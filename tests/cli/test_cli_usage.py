"""Whatever goes wrong outside the rooms (options, the disk, an interrupt, a lock) is told in one sentence as well."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from functools import partial
from pathlib import Path

import duckdb
import httpx
import pytest
from typer.testing import CliRunner

from fhirtasks import cli

COMMAND = Path(sys.executable).with_name("fhirtasks")


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([COMMAND, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bogus"], ["bogus", "fhirtasks --help"]),
        (["load"], ["sources", "fhirtasks load --help"]),
        (["load", "--bogus"], ["--bogus"]),
        (["populate", "--graph", "g.duckdb", "--patients", "0"], ["--patients"]),
        (["populate", "--graph", "g.duckdb", "--patients", "5", "--patients-from", "t.json"], ["--patients-from"]),
        (["build", "--out", "ds", "--per-family", "x"], ["--per-family"]),
        (["build", "--out", "ds", "--seed", str(2**63)], ["--seed"]),
        (["grade", "x.jsonl"], ["--tasks"]),
        (["families", "extra"], ["extra"]),
    ],
    ids=" ".join,
)
def test_usage_errors_are_one_line(arguments: list[str], words: list[str], tmp_path: Path) -> None:
    result = run(arguments, tmp_path)
    assert result.returncode == 2
    assert not result.stdout
    [line] = result.stderr.splitlines()
    assert line.startswith("fhirtasks: ")
    for word in words:
        assert word in line
    assert os.listdir(tmp_path) == []


def test_without_a_command_the_help_is_shown(tmp_path: Path) -> None:
    result = run([], tmp_path)
    assert (result.returncode, result.stderr) == (0, "")
    assert "evaluate" in result.stdout


def test_a_reason_of_many_lines_is_told_in_one(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(os.urandom(2000))
    with pytest.raises(tarfile.ReadError, match="\n"):  # the library's own reason has many
        tarfile.open(tmp_path / "a.tar")  # noqa: SIM115 (it never opens)
    result = run(["load", "a.tar", "--graph", "g.duckdb"], tmp_path)
    assert result.returncode == 2
    assert [line for line in result.stderr.splitlines() if not line.startswith("reading")] == [
        result.stderr.splitlines()[-1]
    ]
    assert "a.tar" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device", "x"),
        OSError(28, "No space left on device"),
        duckdb.TransactionException('Failed to commit: Could not write file "g.wal": No space left on device'),
        duckdb.IOException("Could not write file: Disk quota exceeded"),
    ],
)
def test_a_full_disk_is_told_whoever_noticed_it(error: Exception) -> None:
    sentence = cli._sentence(error)
    assert sentence is not None
    assert "disk is full" in sentence


def test_a_fault_of_ours_is_not_dressed_up_as_misuse() -> None:
    assert cli._sentence(KeyError("oops")) is None
    assert cli._sentence(duckdb.ParserException("syntax error")) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run([COMMAND, "families"], check=False, stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 2
    assert "disk is full" in result.stderr
    assert "Traceback" not in result.stderr


def test_an_interrupt_says_how_to_go_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [COMMAND, "populate", "--patients", "5000", "--graph", "g.duckdb"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  background jobs have it ignored
    )  # fmt: skip
    assert process.stderr is not None
    assert "made" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, "")
    assert "run the same command again" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert os.listdir(tmp_path) == []


def test_a_graph_that_is_being_written_is_named_so(tmp_path: Path) -> None:
    graph = tmp_path / "g.duckdb"
    assert run(["populate", "--patients", "2", "--graph", "g.duckdb"], tmp_path).returncode == 0
    hold = f"import duckdb, sys; db = duckdb.connect({str(graph)!r}); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline()
        started = time.monotonic()
        for command in (["serve", "--port", "0"], ["build", "--out", "ds"], ["populate", "--patients", "1"]):
            result = run([*command, "--graph", "g.duckdb"], tmp_path)
            assert result.returncode == 2, command
            assert "being written by another program" in result.stderr.splitlines()[-1]
        assert time.monotonic() - started < 60
    assert os.listdir(tmp_path) == ["g.duckdb"]


def test_an_empty_host_is_not_every_interface(tmp_path: Path) -> None:
    assert run(["populate", "--patients", "1", "--graph", "g.duckdb"], tmp_path).returncode == 0
    result = run(["serve", "--graph", "g.duckdb", "--host", "", "--port", "0"], tmp_path)
    assert result.returncode == 2
    assert "127.0.0.1" in result.stderr


def test_a_server_answers_from_when_it_says_so_and_survives_a_client_that_hangs_up(tmp_path: Path) -> None:
    assert run(["populate", "--patients", "1", "--graph", "g.duckdb"], tmp_path).returncode == 0
    command = [COMMAND, "serve", "--graph", "g.duckdb", "--port", "0", "--json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        base = json.loads(server.stdout.readline())["base"]
        port = int(base.split(":")[2].split("/")[0])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:  # at once, without a second try
            client.sendall(b"POST /fhir/Patient HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            time.sleep(1)
        assert httpx.get(base + "Patient?_count=0", timeout=10).json()["total"] == 1
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=20)
    assert (server.returncode, out, err) == (0, "", "")


def test_a_reader_that_left_is_no_verdict(tmp_path: Path) -> None:
    """``| head`` ends as shells have it, without a traceback and not with 1, which says that what was checked is not good."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone:
        result = subprocess.run([COMMAND, "families"], check=False, stdout=gone, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr) == (141, "")


def test_closed_streams_are_no_fault(tmp_path: Path) -> None:
    for closed, code in (("families 2>&-", 0), ("families >&-", 0), ("verify nowhere 2>&-", 2)):
        ran = subprocess.run(["sh", "-c", f"{COMMAND} {closed}"], cwd=tmp_path, check=False, stdout=subprocess.DEVNULL)
        assert ran.returncode == code, closed


def test_a_fault_of_ours_is_no_verdict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fault(**_: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(cli, "app", fault)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    assert "KeyError" in capsys.readouterr().err


def test_the_help_of_every_command_shows_whole_sentences_and_an_example(tmp_path: Path) -> None:
    for group in ([], ["train"]):
        summary = run([*group, "--help"], tmp_path).stdout.partition("Commands:")[2]
        assert summary and "..." not in summary
        for line in summary.partition("\n\n")[0].strip().splitlines():
            if (name := line.split()[0]) != "train":
                shown = CliRunner().invoke(cli.app, [*group, name, "--help"]).stdout
                assert "Example: fhirtasks" in shown or "$(fhirtasks train config" in shown, name


def test_a_damaged_graph_is_not_called_busy(tmp_path: Path) -> None:
    """DuckDB says that a block is damaged, and "block" has "lock" in it."""
    assert run(["populate", "--patients", "1", "--graph", "g.duckdb"], tmp_path).returncode == 0
    data = bytearray((tmp_path / "g.duckdb").read_bytes())
    data[5000:9000] = os.urandom(4000)
    (tmp_path / "g.duckdb").write_bytes(data)
    for command in (["serve", "--port", "0"], ["populate", "--patients", "1"]):
        result = run([*command, "--graph", "g.duckdb"], tmp_path)
        assert result.returncode == 2
        assert "being written" not in result.stderr
        assert "g.duckdb" in result.stderr.splitlines()[-1]


def test_a_folder_is_not_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "folder is a folder" in run(["serve", "--graph", "folder"], tmp_path).stderr


def test_a_family_in_capitals_is_known_again(tmp_path: Path) -> None:
    result = run(["build", "--out", "ds", "--families", "LATEST-LABS"], tmp_path)
    assert result.returncode == 2
    assert "is latest_lab or" in result.stderr
