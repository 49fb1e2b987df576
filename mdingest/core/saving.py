"""The machine's state as bytes: JSON for what is small, numpy arrays for the rest. No pickle.

With a whole market it is 25 MB, so it is never there in one piece: it is written array by array.
"""

import io
import json
from collections.abc import Mapping
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

FORMAT = 2  # another one is refused, and recovery steps from an older place instead

Saved = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""JSON values and arrays of one feed."""


class Writable(Protocol):
    """Where a state goes."""

    def write(self, data: bytes, /) -> object:
        """Takes all of it."""
        ...


class _File(io.RawIOBase):
    """What `numpy.savez` takes for a file, over something that can only be written to."""

    def __init__(self, out: Writable) -> None:
        self._out = out

    def write(self, data: Any, /) -> int:  # noqa: ANN401 - any buffer
        self._out.write(data)
        return len(data)


def pack(plain: dict[str, Any], feeds: Mapping[str, Saved], out: Writable) -> None:
    """One archive of all of it."""
    arrays: dict[str, Any] = {}
    for i, (_, columns) in enumerate(feeds.values()):
        arrays |= {f"{i}.{key}": value for key, value in columns.items()}
    text = json.dumps(
        {"format": FORMAT, "machine": plain, "feeds": [[name, saved] for name, (saved, _) in feeds.items()]}
    )
    arrays["json"] = np.frombuffer(text.encode(), np.uint8)
    np.savez(_File(out), **arrays)


def unpack(saved: bytes) -> tuple[dict[str, Any], dict[str, Saved]]:
    """The opposite of `pack`. Raises ValueError if the bytes are of another format."""
    try:
        with np.load(io.BytesIO(saved), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (EOFError, BadZipFile) as exc:
        raise ValueError(f"not a state: {exc}") from exc
    plain = json.loads(arrays["json"].tobytes())
    if plain["format"] != FORMAT:
        raise ValueError(f"state of format {plain['format']}, not {FORMAT}")
    feeds = {name: (values, under(arrays, f"{i}.")) for i, (name, values) in enumerate(plain["feeds"])}
    return plain["machine"], feeds


def under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The entries below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
