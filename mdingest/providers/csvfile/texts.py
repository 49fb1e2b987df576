"""The bytes of a file as lines of text."""

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO


def encoding_of(head: bytes) -> str:
    """What its first bytes say: UTF-16 if they are its mark, else UTF-8, with a mark or without."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"  # MetaTrader's
    return "utf-8-sig"


@contextmanager
def as_text(source: BinaryIO, encoding: str) -> Iterator[io.TextIOWrapper]:
    """The file from its beginning as text; every kind of line end becomes one. Leaves it open."""
    source.seek(0)
    text = io.TextIOWrapper(source, encoding=encoding, errors="replace", newline=None)
    try:
        yield text
    finally:
        text.detach()
