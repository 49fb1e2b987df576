"""A library's process: what becomes of it when it hangs, dies, grows or is not wanted any more."""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mdingest.errors import PermanentError, TransientError
from mdingest.pipeline.history import child as module
from mdingest.pipeline.history import fetch as fetching
from mdingest.pipeline.history.child import Child
from mdingest.providers.history import LibraryRequest

_FRAME = """
import os, struct, sys, time
def read():
    head = sys.stdin.buffer.read(4)
    return sys.stdin.buffer.read(struct.unpack(">I", head)[0]) if head else sys.exit(0)
def write(body):
    sys.stdout.buffer.write(struct.pack(">I", len(body)) + body)
    sys.stdout.buffer.flush()
"""
Make = Callable[[str], Child]


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Make]:
    made: list[Child] = []

    def make(body: str) -> Child:
        file = tmp_path / "program.py"
        file.write_text(_FRAME + body)
        made.append(Child("library", [sys.executable, "-S", "-P", str(file)]))
        return made[-1]

    yield make
    for one in made:
        one.close()
        assert not one.is_running


def wait_for_its_end(library: Child) -> None:
    deadline = time.monotonic() + 10
    while library.is_running:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def test_one_process_answers_job_after_job(child: Make) -> None:
    library = child("while True: write(read() + str(os.getpid()).encode())")

    first, second = await library.ask(b"a", 10), await library.ask(b"b", 10)

    assert first[1:] == second[1:] == str(library.pid).encode()


async def test_one_that_does_not_answer_is_ended(child: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "START_S", 5.0)
    library = child("write(read()); read(); time.sleep(600)")
    await library.ask(b"a", 10)
    pid = library.pid

    with pytest.raises(TransientError, match="did not answer within"):
        await library.ask(b"b", 0.2)

    assert pid is not None
    assert not library.is_running
    assert await library.ask(b"again", 10) == b"again"
    assert not is_alive(pid)


async def test_a_cancel_ends_it(child: Make) -> None:
    library = child("write(read()); read(); time.sleep(600)")
    await library.ask(b"a", 10)

    asking = asyncio.create_task(library.ask(b"b", 600), name="asking")
    await asyncio.sleep(0.05)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    assert not library.is_running


async def test_a_cancel_while_it_starts_ends_it(child: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    library = child("read(); time.sleep(600)")
    starting, cancelled = threading.Event(), threading.Event()

    def start() -> None:
        starting.set()
        cancelled.wait(10)
        Child._start(library)

    monkeypatch.setattr(library, "_start", start)
    asking = asyncio.create_task(library.ask(b"a", 600), name="asking")
    await asyncio.to_thread(starting.wait, 10)
    asking.cancel()
    await asyncio.sleep(0)
    cancelled.set()
    async with asyncio.timeout(20):
        with pytest.raises(asyncio.CancelledError):
            await asking

    assert not library.is_running


async def test_its_last_words_are_told(child: Make) -> None:
    library = child("read(); sys.exit('MemoryError: no more')")

    with pytest.raises(TransientError, match="library ended with code 1: MemoryError: no more"):
        await library.ask(b"a", 10)


async def test_one_that_has_ended_is_started_again(child: Make) -> None:
    library = child("write(read())")
    await library.ask(b"a", 10)
    await asyncio.to_thread(wait_for_its_end, library)

    assert await library.ask(b"b", 10) == b"b"


async def test_an_endless_answer_is_not_read(child: Make) -> None:
    library = child(
        "read(); sys.stdout.buffer.write(b'\\xff' * 8); sys.stdout.buffer.flush(); time.sleep(600)"
    )

    with pytest.raises(PermanentError, match="longer than 64 MiB"):
        await library.ask(b"a", 10)

    assert not library.is_running


async def test_what_it_leaves_in_its_folder_goes_with_it(child: Make) -> None:
    library = child("open('left', 'w').close(); read(); write(os.getcwd().encode()); read()")
    folder = (await library.ask(b"", 10)).decode()

    assert os.access(f"{folder}/left", os.F_OK)
    library.close()
    assert not os.access(folder, os.F_OK)


async def test_it_gets_none_of_our_secrets(child: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITE_ACCESS_TOKEN", "hush")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    library = child("read(); write(repr(sorted(os.environ)).encode())")

    told = await library.ask(b"", 10)

    assert b"HTTPS_PROXY" in told
    assert b"KITE" not in told


async def test_one_that_is_not_asked_any_more_is_ended(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "program.py"
    file.write_text(_FRAME + "while True: write(read())")
    monkeypatch.setattr(fetching, "program", lambda _: [sys.executable, "-S", "-P", str(file)])
    monkeypatch.setattr(fetching, "_IDLE_S", 0.1)
    request = LibraryRequest("library", (), "nothing")

    async with fetching.Fetcher() as fetcher:
        async with fetcher.reply(request):
            pass
        (child,) = fetcher._children.values()
        assert child.is_running
        await asyncio.to_thread(wait_for_its_end, child)
        async with fetcher.reply(request):
            assert child.is_running
    assert not child.is_running
