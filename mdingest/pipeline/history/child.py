"""A vendor's library in a process of its own: JSON goes in, JSON comes out, and it can be ended.

So what the library drags along (pandas: 100 MB) lives only while it is wanted, and whatever it
does (hang, print, grow, die) happens elsewhere. A program is a file beside this one. Each message
is its length in four bytes, then JSON; the program ends with its input.
"""

import asyncio
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

import structlog

from mdingest.errors import PermanentError, TransientError

log = structlog.get_logger()

START_S = 30.0  # importing pandas on a small, busy machine
MAX_REPLY_BYTES = 64 << 20
_LENGTH = struct.Struct(">I")
_SAID = 2_000  # bytes of what a child wrote to stderr: the end says why
_WANTED = ("PATH", "HOME", "TMPDIR", "LANG", "TZ", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SSL_CERT_FILE")
_WANTED_BEGIN = ("LC_", "PYTHON", "XDG_", "CURL_", "http_proxy", "https_proxy", "no_proxy", "all_proxy")


def program(name: str) -> list[str]:
    """The command of one of the programs beside this file."""
    file = Path(__file__).with_name(f"{name}_child.py")
    return [sys.executable, "-P", str(file)]  # -P: its neighbours are no modules for it to find


class Child:
    """One program, started when it is first asked and again whenever it has ended.

    Not for several tasks at once. Knows no event loop, so that one may outlive the other.
    """

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._name = name
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._unwanted = False  # so that one which is just being started is ended, too

    async def ask(self, job: bytes, timeout_s: float) -> bytes:
        """The answer to one job.

        Raises TransientError if none comes in time or the program dies, PermanentError for an
        answer beyond all bounds. A cancel, like a timeout, ends the program.
        """
        limit_s = timeout_s if self.is_running else timeout_s + START_S
        self._unwanted = False
        step = asyncio.get_running_loop().run_in_executor(None, self._exchange, job)
        try:
            async with asyncio.timeout(limit_s):
                return await asyncio.shield(step)
        except (TimeoutError, asyncio.CancelledError) as exc:
            self._kill()
            await asyncio.wait([step])  # nobody may reap what a thread reads from
            step.exception()  # it has one: its pipe broke
            if isinstance(exc, TimeoutError):
                raise TransientError(
                    f"{self._name} did not answer within {limit_s:.0f} s: it was ended"
                ) from exc
            raise

    @property
    def is_running(self) -> bool:
        """Whether there is a process that can be asked."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the process, if there is one."""
        return self._process.pid if self._process is not None and self.is_running else None

    def close(self) -> None:
        """End the process, if there is one. It keeps nothing that could be lost."""
        self._kill()
        self._reap()

    def _kill(self) -> None:
        self._unwanted = True
        if self._process is not None:
            self._process.kill()

    def _exchange(self, job: bytes) -> bytes:
        if not self.is_running:
            self._start()
            if self._unwanted and self._process is not None:
                self._process.kill()
        reply = self._try(job)
        if reply is None:
            code, said = self._reap()
            raise TransientError(f"{self._name} ended with code {code}{said}")
        return reply

    def _try(self, job: bytes) -> bytes | None:
        """None if the process is gone."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise AssertionError("not started")
        try:
            process.stdin.write(_LENGTH.pack(len(job)) + job)
            process.stdin.flush()
        except BrokenPipeError:
            return None
        head = process.stdout.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > MAX_REPLY_BYTES:
            self.close()
            raise PermanentError(f"{self._name}: the reply is longer than {MAX_REPLY_BYTES >> 20} MiB")
        body = process.stdout.read(length)
        return body if len(body) == length else None

    def _start(self) -> None:
        self._reap()
        # A file, not a pipe: nobody has to read it, and its length is limited by the child itself.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        self._folder = tempfile.TemporaryDirectory(
            prefix=f"mdingest-{self._name}-"
        )  # goes with it, however it ends
        self._process = subprocess.Popen(  # noqa: S603 - our own program
            self._command,
            cwd=self._folder.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(),
            process_group=0,  # Ctrl-C is for us; it hears of it by the end of its input
        )

    def _reap(self) -> tuple[int, str]:
        """How a process that is gone, or going, ended, and its last words."""
        process, stderr, folder = self._process, self._stderr, self._folder
        self._process = self._stderr = self._folder = None
        if process is None or stderr is None or folder is None:
            return 0, ""
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what was not written is not wanted any more
                    pipe.close()
        code = process.wait()
        folder.cleanup()
        with stderr:
            size = stderr.seek(0, os.SEEK_END)
            stderr.seek(max(0, size - _SAID))
            said = stderr.read().decode(errors="replace").strip()
        if said:
            log.debug("backfill.library_said", library=self._name, text=said)
        last = said.splitlines()[-1][:200] if said else ""
        return code, f": {last}" if last else ""


def _environment() -> dict[str, str]:
    """Ours, without the secrets in it; one thread is enough for a few thousand bars."""
    return {"OPENBLAS_NUM_THREADS": "1"} | {
        key: value
        for key, value in os.environ.items()
        if key in _WANTED or key.startswith(_WANTED_BEGIN) or key.lower().startswith(_WANTED_BEGIN)
    }
