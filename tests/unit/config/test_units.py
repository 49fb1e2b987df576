"""Spans of time and sizes."""

import pytest

from mdingest.config.units import parse_size, parse_span, size_text, span_text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("12h", 43_200), ("3d", 259_200), ("2w", 1_209_600), ("1.5h", 5_400)],
)
def test_spans_have_a_unit(text: str, seconds: float) -> None:
    assert parse_span(text) == seconds
    assert parse_span(span_text(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["3", 3, "d", "-3d", "3 days", "3D", "0d", "", None, True, "\uff13d", 3.5, -1.0, "5201w"]
)
def test_other_spans_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="span of time"):
        parse_span(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GiB", 2 << 30),
        ("500MB", 500_000_000),
        ("1.5KiB", 1536),
        ("7", 7),
        (7, 7),
        ("12 kB", 12_000),
        ("9B", 9),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(size_text(size)) == size


@pytest.mark.parametrize("text", ["2Gb", "GiB", "-1", 1.5, True, None, "1e3", "2 G"])
def test_other_sizes_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        parse_size(text)
