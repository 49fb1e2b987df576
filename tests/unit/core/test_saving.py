"""A state is written a little at a time, and read as it was."""

import io
import tracemalloc

import numpy as np
import pytest

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


@pytest.mark.parametrize(
    "array",
    [
        np.empty(0, np.int64),
        np.array(7, np.uint8),
        np.arange(12).reshape(3, 4)[:, ::2].T,
        np.array([b"abc", b"d"]),
        np.array([(1, 2.5, [7, 8])], np.dtype([("a", "u1"), ("b", "f8"), ("c", "i2", (2,))], align=True)),
    ],
    ids=["nothing", "a number", "not in a row", "text", "rows with padding"],
)
def test_an_array_of_any_kind_comes_back_and_may_be_changed(array: np.ndarray) -> None:
    pack({}, {"x": ({}, {"one": array, "more": np.ones(3)})}, out := io.BytesIO())

    _, feeds = unpack(out.getvalue())

    found = feeds["x"][1]["one"]
    assert (found.dtype, found.shape) == (array.dtype, array.shape)
    assert np.array_equal(found, array)
    assert found.flags.writeable
    assert np.array_equal(feeds["x"][1]["more"], np.ones(3))


@pytest.mark.parametrize("cut", [0, 3, 15, 40, -1])
def test_what_is_not_a_state_is_refused(cut: int) -> None:
    pack({}, {"x": ({}, {"one": np.ones(3)})}, out := io.BytesIO())

    with pytest.raises(ValueError):  # noqa: PT011 - JSON's and numpy's own are as good
        unpack(out.getvalue()[:cut])
    with pytest.raises(ValueError, match="not a state"):
        unpack(out.getvalue().replace(b"MDMS", b"MDST"))
    with pytest.raises(ValueError, match="format"):
        unpack(out.getvalue().replace(b"MDMS\x04", b"MDMS\x03"))
    with pytest.raises(ValueError, match="bytes"):
        unpack(out.getvalue() + b"more")


def test_the_whole_is_never_in_memory_once_more() -> None:
    sink = Sink()
    tracemalloc.start()
    pack({}, {"x": ({}, ARRAYS)}, sink)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert sink.size > 16 << 20
    assert peak < 2 << 20
