"""The machine's state as bytes: JSON for what is small, numpy arrays for the rest. No pickle.

The JSON comes first and says where each array lies. With a whole market the state is 25 MB, so
it is never there in one piece: it is written array by array.
"""

import json
import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

FORMAT = 4  # another one is refused, and recovery steps from an older place instead

Saved = tuple[dict[str, Any], dict[str, NDArray[Any]]]
"""JSON values and arrays of one feed."""

_HEAD = struct.Struct("<4sIQ")  # magic, format, length of the JSON that follows
_MAGIC = b"MDMS"


class Writable(Protocol):
    """Where a state goes."""

    def write(self, data: bytes, /) -> object:
        """Takes all of it."""
        ...


def pack(plain: dict[str, Any], feeds: Mapping[str, Saved], out: Writable) -> None:
    """All of it, one array after another."""
    arrays = [
        (f"{i}.{key}", np.asarray(value))
        for i, (_, columns) in enumerate(feeds.values())
        for key, value in columns.items()
    ]
    text = json.dumps(
        {
            "machine": plain,
            "feeds": [[name, saved] for name, (saved, _) in feeds.items()],
            "arrays": [[name, _described(one.dtype), one.shape] for name, one in arrays],
        }
    ).encode()
    out.write(_HEAD.pack(_MAGIC, FORMAT, len(text)))
    out.write(text)
    for _, one in arrays:
        out.write(one.tobytes())


def unpack(saved: bytes) -> tuple[dict[str, Any], dict[str, Saved]]:
    """The opposite of `pack`. Raises ValueError if the bytes are of another format."""
    if len(saved) < _HEAD.size or not saved.startswith(_MAGIC):
        raise ValueError("not a state, or one of an old version")
    _, version, length = _HEAD.unpack_from(saved)
    if version != FORMAT:
        raise ValueError(f"state of format {version}, not {FORMAT}")
    at = _HEAD.size + length
    plain = json.loads(saved[_HEAD.size : at])
    arrays: dict[str, NDArray[Any]] = {}
    for name, descr, shape in plain["arrays"]:
        dtype, count = _dtype(descr), int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(saved, dtype, count, at).reshape(shape).copy()
        at += arrays[name].nbytes
    if at != len(saved):
        raise ValueError(f"a state of {at} bytes in {len(saved)}")
    feeds = {name: (values, under(arrays, f"{i}.")) for i, (name, values) in enumerate(plain["feeds"])}
    return plain["machine"], feeds


@lru_cache(maxsize=64)
def _described(dtype: np.dtype[Any]) -> str:
    return json.dumps(np.lib.format.dtype_to_descr(dtype))


@lru_cache(maxsize=64)
def _dtype(descr: str) -> np.dtype[Any]:
    """The opposite. JSON knows no tuples."""
    found: Any = json.loads(descr)
    if not isinstance(found, str):
        found = [_field(one) for one in found]
    return np.lib.format.descr_to_dtype(found)


def _field(one: list[Any]) -> tuple[Any, ...]:
    name, kind, *shape = one
    kind = kind if isinstance(kind, str) else [_field(inner) for inner in kind]
    return (name, kind, *map(tuple, shape))


def under(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The entries below a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
