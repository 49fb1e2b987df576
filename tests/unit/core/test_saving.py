"""A state is written a little at a time, and read as it was."""

import io
import tracemalloc

import numpy as np

from mdingest.core.saving import pack, unpack

ARRAYS = {f"second.{n}": np.arange(n, n + 32_768) for n in range(64)}  # 16 MiB


class Sink:
    size = 0

    def write(self, data: bytes, /) -> None:
        self.size += len(data)


def test_what_was_packed_is_unpacked() -> None:
    pack({"a": [1, None]}, {"x": ({"b": "c"}, ARRAYS)}, out := io.BytesIO())

    plain, feeds = unpack(out.getvalue())

    assert plain == {"a": [1, None]}
    assert feeds["x"][0] == {"b": "c"}
    assert feeds["x"][1].keys() == ARRAYS.keys()
    assert all(np.array_equal(feeds["x"][1][name], array) for name, array in ARRAYS.items())


def test_the_whole_is_never_in_memory_once_more() -> None:
    sink = Sink()
    tracemalloc.start()
    pack({}, {"x": ({}, ARRAYS)}, sink)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sink.size > 16 << 20
    assert peak < 2 << 20
