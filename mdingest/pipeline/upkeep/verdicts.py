"""What came of asking for the gaps of one instrument. Pure; spans are half-open, UTC ns."""

from collections.abc import Sequence

from mdingest.core.session import SECOND_NS
from mdingest.core.spans import Span, intersect, subtract, union
from mdingest.pipeline.history.report import Report
from mdingest.pipeline.upkeep import attempts
from mdingest.pipeline.upkeep.holes import names_of, told
from mdingest.store.base import CoverageRow, GapRow


def judged(
    gaps: Sequence[tuple[GapRow, list[Span]]],
    report: Report,
    known: tuple[Sequence[CoverageRow], Sequence[Span]],
    *,
    feed: str,
    now_ns: int,
    settle_s: float,
) -> list[GapRow]:
    """How gaps stand, each with the minutes it touches, after what ``report`` tells.

    ``known``, as of after it: who knows what, and which minutes nobody does. ``settle_s`` is when a
    bar stands of whoever was asked and is quickest.
    """
    coverage, lacks = known
    failures = dict.fromkeys(text for said in report.symbols for text in (*said.failures, *said.rejects))
    beyond = union(span for said in report.symbols for span in said.beyond)
    local = any(said.requests and not said.planned for said in report.symbols)  # reads all of it
    planned = union(span for said in report.symbols for span in said.planned)
    names = ", ".join(said.provider for said in report.symbols)
    done = []
    for gap, minutes in gaps:
        left = intersect(minutes, list(lacks))
        early = [] if local else subtract(left, union([*planned, *beyond]))
        if not left:
            done.append(attempts.repaired(gap, names_of(coverage, feed, minutes)))
        elif not subtract(left, beyond):
            done.append(attempts.unfillable(gap, f"{told(left)}: further back than {names} goes"))
        elif failures:
            done.append(attempts.failed(gap, "; ".join(failures), now_ns))
        elif early:
            stands_ns = early[-1][1] + round(settle_s * SECOND_NS)
            done.append(attempts.unsettled(gap, names, now_ns, stands_ns))
        else:
            done.append(attempts.lacking(gap, f"{told(left)}: {names} has none", now_ns))
    return done
