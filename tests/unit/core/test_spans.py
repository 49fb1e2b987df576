"""The algebra of spans, against sets of whole numbers."""

from hypothesis import given
from hypothesis import strategies as st

from mdingest.core.spans import Span, intersect, subtract, union

spans = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=8)


def points(some: list[Span]) -> set[int]:
    return {n for start, end in some for n in range(start, end)}


def is_tidy(some: list[Span]) -> bool:
    bounds = [bound for span in some for bound in span]
    return bounds == sorted(set(bounds))


@given(spans)
def test_a_union_has_the_same_points_and_is_sorted_and_disjoint(some: list[Span]) -> None:
    assert points(union(some)) == points(some)
    assert is_tidy(union(some))


@given(spans, spans)
def test_what_lies_in_both(some: list[Span], others: list[Span]) -> None:
    found = intersect(union(some), union(others))

    assert points(found) == points(some) & points(others)
    assert is_tidy(found)


@given(spans, spans)
def test_what_lies_in_one_only(some: list[Span], others: list[Span]) -> None:
    found = subtract(union(some), union(others))

    assert points(found) == points(some) - points(others)
    assert is_tidy(found)
