"""Logging: structured, to stderr, a line per change of state.

A person at a terminal gets a console, anything else gets a JSON object a line. Whatever a
caller hands in, what looks like a credential leaves masked; that is a net below the rule
that secrets are never handed in at all. Nor is a line worth the process: one that can't be written is lost.
"""

import logging
import os
import re
import sys
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("console", "json")

_SECRET_KEY = re.compile(r"token|secret|password|authorization|api_?key", re.IGNORECASE)
_GUARDED = r"(?:(?:access_|request_|refresh_)?token|api_key|secret|\w*password)"
_SECRET_PAIR = re.compile(rf"(?i)\b({_GUARDED})(=|:\s*)[^&\s,;'\"]+")
_SECRET_QUERY = re.compile(rf"(?i)([?&]{_GUARDED}=)[^&\s]+")  # in an address , ; and quotes end nothing
_URL_PASSWORD = re.compile(r"\b(\w+://[^\s:]*):(\S*)@([^&\s]*)")  # up to the word's last @: it may hold any
_KEPT_REPEATS = 1_000


def configure(fmt: str | None = None, level: str = "info") -> None:
    """Send every log line of the process to stderr. ``fmt`` None looks whether a person reads."""
    console = sys.stderr.isatty() if fmt is None else fmt == "console"
    threshold = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,  # plain text: fancy tracebacks print local values
        _mask,
    ]
    render: list[Processor] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        ]
        if console
        else [structlog.processors.JSONRenderer(default=str)]
    )
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.PrintLoggerFactory(file=_Lines(sys.stderr)),  # type: ignore[arg-type] # all it uses
        cache_logger_on_first_use=False,
    )
    _adopt_libraries(shared, render, threshold)


def _adopt_libraries(shared: list[Processor], render: list[Processor], threshold: int) -> None:
    """Lines that libraries write through `logging` look like our own."""
    handler = logging.StreamHandler(_Lines(sys.stderr))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))  # a library's chatter is not ours to keep


def mask(text: str) -> str:
    """``text`` without what looks like the value of a credential."""
    text = _SECRET_QUERY.sub(r"\1***", _URL_PASSWORD.sub(_without_password, text))
    return _SECRET_PAIR.sub(r"\1\2***", text)


def _without_password(found: re.Match[str]) -> str:
    """An @ behind ``?sslpassword=`` may be in that one's value: its end is not told either."""
    begin, hidden, rest = found.groups()
    return f"{begin}:***@{'***' if _SECRET_PAIR.search(hidden + '@') else rest}"


def _mask(_logger: object, _method: str, event: EventDict) -> MutableMapping[str, Any]:
    for key, value in event.items():
        if _SECRET_KEY.search(key):
            event[key] = "***"
        elif isinstance(value, str):
            event[key] = mask(value)
    return event


class _Lines:
    """Text on its way to a stream. A full disk or a reader that left must not end who writes.

    A stream of the system is written to past its buffer, which would try again at the exit and fail.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""
        self._torn = False

    def write(self, text: str) -> None:
        """Keep it until the `flush`."""
        self._text += text

    def flush(self) -> None:
        """Write what was kept, or lose it."""
        text, self._text = self._text, ""
        try:
            fd = self._stream.fileno()
        except OSError:  # not the system's: a test reads along
            self._stream.write(text)
            return
        raw = ("\n" * self._torn + text).encode(errors="backslashreplace")
        begun = len(raw)
        with suppress(OSError):
            while raw:
                raw = raw[os.write(fd, raw) :]
        self._torn = 0 < len(raw) < begun or (self._torn and len(raw) == begun)


class Repeats:
    """Lets one event of a kind through every ``every_s`` seconds and counts the others.

    ``now`` is a monotonic clock in seconds. Knows at most 1,000 kinds; beyond that it
    forgets the oldest, which at worst means a line too many.
    """

    def __init__(self, every_s: float, now: Callable[[], float]) -> None:
        self._every_s = every_s
        self._now = now
        self._kinds: dict[str, tuple[float, int]] = {}

    def allow(self, kind: str) -> int | None:
        """How many were held back since the last one let through; None: hold this one back."""
        now = self._now()
        last, held = self._kinds.get(kind, (None, 0))
        if last is not None and now - last < self._every_s:
            self._kinds[kind] = (last, held + 1)
            return None
        self._kinds.pop(kind, None)
        if len(self._kinds) >= _KEPT_REPEATS:
            del self._kinds[next(iter(self._kinds))]
        self._kinds[kind] = (now, 0)
        return held
