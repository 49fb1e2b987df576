"""Files of candles, CSV and Parquet, that are there whole or not at all."""

import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mdingest.api.rows import KEYS, SESSIONS, SOURCES, STATES, csv_lines
from mdingest.core.events import Candles
from mdingest.core.interval import Interval
from mdingest.errors import ConfigError

FORMATS = ("csv", "parquet")
STDOUT = "-"
_GROUP_ROWS = 8_192
_NUMBERS = ("open", "high", "low", "close", "volume", "oi")
_WORDS = {"source": SOURCES, "state": dict(enumerate(STATES)), "session": dict(enumerate(SESSIONS))}


class Sink(ABC):
    """Takes candles of one length, symbol by symbol."""

    @abstractmethod
    def write(self, symbol: str, candles: Candles) -> None:
        """Some more of a symbol, later than those before."""

    @abstractmethod
    def close(self) -> None:
        """All is there."""


@contextmanager
def sink_of(kind: str, output: str, interval: Interval) -> Iterator[Sink]:
    """A sink into a file, or the standard output if it is ``-``.

    The file has its name only after the block ended well; until then it is a hidden one beside
    it, which goes if the block fails. Raises ConfigError for a format that is not there, OSError.
    """
    if kind == "parquet":
        _Parquet.check()
    if output == STDOUT:
        sink = _made(kind, sys.stdout.buffer, interval)
        yield sink
        sink.close()
        sys.stdout.buffer.flush()
        return
    path = Path(output)
    if path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"--output must be a file in a directory that exists, was {output}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            sink = _made(kind, file, interval)
            yield sink
            sink.close()
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _made(kind: str, file: BinaryIO, interval: Interval) -> Sink:
    return _Parquet(file, interval) if kind == "parquet" else _Csv(file, interval)


class _Csv(Sink):
    def __init__(self, file: BinaryIO, interval: Interval) -> None:
        self._file = file
        self._interval = interval.text
        file.write((",".join(("symbol", "interval", *KEYS)) + "\n").encode())

    def write(self, symbol: str, candles: Candles) -> None:
        name = '"' + symbol.replace('"', '""') + '"' if set(symbol) & set(',"\n') else symbol
        self._file.write(csv_lines(candles, f"{name},{self._interval},"))

    def close(self) -> None:
        """Nothing is left."""


class _Parquet(Sink):
    """Row groups of some ten thousand candles; texts are dictionaries, NULL is what is unknown."""

    def __init__(self, file: BinaryIO, interval: Interval) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        pa.set_memory_pool(pa.system_memory_pool())  # its own keeps what it had
        self._pa: Any = pa
        self._interval = interval.text
        word = pa.dictionary(pa.int8(), pa.string())
        prices = [(name, pa.float64()) for name in _NUMBERS]
        self._schema = pa.schema(
            [
                ("symbol", pa.dictionary(pa.int32(), pa.string())),
                ("interval", word),
                ("ts_utc", pa.timestamp("us", "UTC")),
                *prices,
                ("trades", pa.int64()),
                *((name, word) for name in _WORDS),
                ("revision", pa.int64()),
            ]
        )
        self._writer = pq.ParquetWriter(
            file, self._schema, compression="zstd", use_dictionary=["symbol", "interval", *_WORDS]
        )
        self._parts: list[tuple[str, Candles]] = []
        self._rows = 0

    @staticmethod
    def check() -> None:
        """Raises ConfigError where the library is not installed."""
        try:
            import pyarrow.parquet  # noqa: F401 - whether it is there
        except ImportError as exc:
            raise ConfigError(
                "--format parquet needs pyarrow, which is not installed: pip install 'mdingest[parquet]', "
                "or take --format csv"
            ) from exc

    def write(self, symbol: str, candles: Candles) -> None:
        self._parts.append((symbol, candles))
        self._rows += len(candles)
        if self._rows >= _GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        if self._parts:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        pa = self._pa
        rows = np.concatenate([candles for _, candles in self._parts])
        symbols = list(dict.fromkeys(symbol for symbol, _ in self._parts))
        which = np.repeat(
            np.array([symbols.index(symbol) for symbol, _ in self._parts], np.int32),
            [len(candles) for _, candles in self._parts],
        )
        self._parts, self._rows = [], 0
        columns = [
            self._words(which, symbols, pa.int32()),
            self._words(np.zeros(len(rows), np.int8), [self._interval], pa.int8()),
            self._numbers(rows["ts"] // 1_000, pa.timestamp("us", "UTC")),
            *(self._numbers(rows[name], pa.float64(), np.isnan(rows[name])) for name in _NUMBERS),
            self._numbers(rows["trades"].astype(np.int64), pa.int64(), rows["trades"] < 0),
            *(self._words(*_named(rows[name], words), pa.int8()) for name, words in _WORDS.items()),
            self._numbers(rows["revision"].astype(np.int64), pa.int64()),
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))

    # Out of memory as it lies: `pyarrow.array` would import pandas, 60 MB, to see what it was given.

    def _numbers(self, values: NDArray[Any], kind: Any, unknown: NDArray[np.bool_] | None = None) -> Any:  # noqa: ANN401 - the library has no types
        buffer = self._pa.py_buffer
        valid = None
        if unknown is not None and unknown.any():
            valid = buffer(np.packbits(~unknown, bitorder="little"))
        return self._pa.Array.from_buffers(kind, len(values), [valid, buffer(np.ascontiguousarray(values))])

    def _words(self, codes: NDArray[Any], words: list[str], kind: Any) -> Any:  # noqa: ANN401 - as above
        pa, texts = self._pa, [word.encode() for word in words]
        ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
        buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(texts))]
        names = pa.Array.from_buffers(pa.string(), len(texts), buffers)
        return pa.DictionaryArray.from_arrays(self._numbers(codes, kind), names)


def _named(codes: NDArray[Any], names: dict[int, str]) -> tuple[NDArray[np.int8], list[str]]:
    """Codes from 0 on, and their names."""
    found, at = np.unique(codes, return_inverse=True)
    return at.astype(np.int8), [names[code] for code in found.tolist()]
