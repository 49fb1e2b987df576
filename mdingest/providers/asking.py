"""Requests to a source of history, as values, and what comes back. Others do the asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from mdingest.core.spans import Span


@dataclass(frozen=True, slots=True)
class FileRequest:
    """Read a local file. ``span``: what of the wish it answers for; None: all of it."""

    path: Path
    span: Span | None = None

    def __str__(self) -> str:
        return str(self.path)


@dataclass(frozen=True, slots=True)
class Keep:
    """Where a reply that never changes is kept for the next who asks."""

    path: Path
    max_bytes: int  # of all in its folder; those unused longest go


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """GET an address. ``secrets`` are parameters and headers that no text may show.

    ``span`` is the part of the wish that the reply answers for; None: all of it. Where a wish
    takes several requests each must say, else the first reply would answer for the others.
    """

    url: str
    params: tuple[tuple[str, str], ...] = ()
    secret_params: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    secret_headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    span: Span | None = None
    keep: Keep | None = None  # once it was understood

    def __str__(self) -> str:
        query = "&".join(f"{key}={value}" for key, value in self.params)
        return f"{self.url}?{query}" if query else self.url


@dataclass(frozen=True, slots=True)
class LibraryRequest:
    """Let a vendor's own library ask, in a process of its own. The reply's body is JSON.

    ``job`` is what the program beside the library is told, without secrets; ``says`` names it
    for people.
    """

    library: str
    job: tuple[tuple[str, str | int], ...]
    says: str
    span: Span | None = None

    def __str__(self) -> str:
        return f"{self.library} {self.says}"


Request = FileRequest | HttpRequest | LibraryRequest


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back. ``body`` can be sought; all but HTTP has status 200 and no headers."""

    request: Request
    body: BinaryIO
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    def place(self, line: int) -> str:
        """``file.csv:17``, or the address and the row."""
        if isinstance(self.request, FileRequest):
            return f"{self.request}:{line}"
        return f"{self.request} row {line}"
