"""A signal asks a running command to stop; a second one ends it at once."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

PROGRAM = """
import asyncio, os, sys, time
from mdingest.cli.common import Stopping, run_until_stopped

async def main(stop):
    print("running", flush=True)
    await stop.wait()
    print("asked", flush=True)
    if {stuck}:
        await asyncio.Event().wait()

with (stopping := Stopping()).installed():
    if {early}:
        print("starting", flush=True)
        sys.stdin.readline()
    run_until_stopped(main, stopping, uvloop={uvloop})
print("done", flush=True)
"""


@contextmanager
def running(
    *, early: bool = False, stuck: bool = False, uvloop: bool = True
) -> Iterator[subprocess.Popen[str]]:
    program = PROGRAM.format(early=early, stuck=stuck, uvloop=uvloop)
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.mark.parametrize("uvloop", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0(number: signal.Signals, uvloop: bool) -> None:  # noqa: FBT001
    with running(uvloop=uvloop) as process:
        assert line(process) == "running"
        process.send_signal(number)

        assert (line(process), line(process)) == ("asked", "done")
        assert process.wait(5) == 0


def test_a_signal_during_start_is_not_lost() -> None:
    with running(early=True) as process:
        assert line(process) == "starting"
        process.send_signal(signal.SIGTERM)
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()

        assert (line(process), line(process), line(process)) == ("running", "asked", "done")
        assert process.wait(5) == 0


@pytest.mark.parametrize("uvloop", [True, False])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(number: signal.Signals, uvloop: bool) -> None:  # noqa: FBT001
    with running(stuck=True, uvloop=uvloop) as process:
        assert line(process) == "running"
        process.send_signal(number)
        assert line(process) == "asked"
        process.send_signal(number)

        assert process.wait(5) == -number
