"""Sets of instants as sorted, disjoint half-open spans ``(start, end)``, and their algebra."""

from collections.abc import Iterable, Sequence

Span = tuple[int, int]


def union(spans: Iterable[Span]) -> list[Span]:
    """Any spans, sorted, overlapping and touching ones joined, empty ones gone."""
    joined: list[Span] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def intersect(some: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """What lies in both."""
    found, i, j = [], 0, 0
    while i < len(some) and j < len(others):
        start, end = max(some[i][0], others[j][0]), min(some[i][1], others[j][1])
        if start < end:
            found.append((start, end))
        if some[i][1] < others[j][1]:
            i += 1
        else:
            j += 1
    return found


def subtract(some: Sequence[Span], others: Sequence[Span]) -> list[Span]:
    """What lies in ``some`` and not in ``others``."""
    left, j = [], 0
    for start, end in some:
        at = start
        while j < len(others) and others[j][1] <= start:
            j += 1
        k = j
        while k < len(others) and others[k][0] < end:
            if at < others[k][0]:
                left.append((at, others[k][0]))
            at = max(at, others[k][1])
            k += 1
        if at < end:
            left.append((at, end))
    return left
