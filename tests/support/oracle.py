"""The oracle of the design: whether what is stored is what happened.

Each check returns what is wrong in words, nothing if all is well, and shares no code with
what it judges. `oracle_journal` has the rest.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from typing import NamedTuple

from tests.support.evidence import FOREVER, LENGTHS, NS, Cut, Evidence, Gap, Row, Trade

CONNECTION_CAUSES = {"start", "disconnect", "crash", "stop", "mute", "parked", "shed", "quarantine"}
MISLEADING = {"reorder", "back", "stale", "conflate", "correct", "reset", "roll"}
"""Faults whose packets are sound, and wrong: near them only sums can be right."""
MISLED = {"reorder": 3 * NS, "conflate": 3 * NS, "back": 5 * NS, "stale": 5 * NS}  # for how long; else ...
LONGEST_MISLED = 12 * NS  # ... until a correction is believed
DAY = 86_400 * NS
GRACE = 2 * NS  # no gap exceeds its cut by more than this and what a socket still held ...
MARGIN = NS // 4  # ... and this, by which an uptime begins later, since clocks differ


class Excess(NamedTuple):
    """How much longer a recorded gap is than the cuts it is about. ns."""

    symbol: str
    where: str
    cuts: int  # so many, too close to each other for a whole second between them
    over: int  # in the gap and in none of them
    unread: int  # of that: between a cut and the nearest frame that was received before and after
    lag: int  # of that: how far the feed's clock was behind, by its stamps cut to whole seconds


# --- (b) the tape


def tape_problems(found: Evidence) -> list[str]:
    """What was stored against the simulator's own trades, outside of the recorded gaps."""
    problems = []
    for symbol in found.symbols:
        for interval, length in LENGTHS.items():
            stored = found.candles.get((symbol, interval), {})
            wanted = _summaries(found.tape[symbol], length)
            for at in sorted(wanted.keys() | stored.keys()):
                if not _judged(found, symbol, at, length):
                    continue
                ours, theirs = wanted.get(at), stored.get(at)
                if theirs is None:
                    problems.append(f"{symbol} {interval} {clock(at)} is missing: the tape has {ours}")
                elif ours is None:
                    problems.append(f"{symbol} {interval} {clock(at)} was stored, but nothing traded")
                elif ours != theirs:
                    problems.append(f"{symbol} {interval} {clock(at)} should be {ours}, is {theirs}")
    return problems


def judged_buckets(found: Evidence) -> dict[str, int]:
    """How many stored candles `tape_problems` has looked at: a check of nothing proves nothing."""
    return {
        interval: sum(
            _judged(found, symbol, at, length)
            for symbol in found.symbols
            for at in found.candles.get((symbol, interval), {})
        )
        for interval, length in LENGTHS.items()
    }


def _summaries(trades: Iterable[Trade], length: int) -> dict[int, Row]:
    buckets: dict[int, list[Trade]] = defaultdict(list)
    for trade in trades:
        buckets[trade.second // length * length].append(trade)
    return {at: _summary(inside) for at, inside in buckets.items()}


def _summary(inside: list[Trade]) -> Row:
    prices = [trade.price for trade in inside]
    sizes = [trade.size for trade in inside if trade.size is not None]
    volume = float(sum(sizes)) if sizes else None
    return Row(prices[0], max(prices), min(prices), prices[-1], volume, len(inside), "final")


def _judged(found: Evidence, symbol: str, at: int, length: int) -> bool:
    """Whether a bucket was heard wholly, by the daemon's own account, and is over."""
    end = at + length
    if at < found.first_heard(symbol) or end > found.horizon():
        return False
    if any(gap.start < end and at < gap.end for gap in found.gaps.get(symbol, [])):
        return False
    return not any(
        doubt.start - NS < end and at < doubt.end + MISLED.get(doubt.cause, LONGEST_MISLED)
        for doubt in found.doubts.get(symbol, [])
        if doubt.cause in MISLEADING
    )


# --- (c) the cuts


def cut_problems(found: Evidence) -> list[str]:
    """Every cut lies inside recorded gaps; nothing that claims to be complete overlaps one."""
    problems = []
    for symbol in found.symbols:
        holes = merged(found.gaps.get(symbol, []))
        for cut in found.cuts.get(symbol, []):
            name = f"{symbol}: the cut {span(cut.start, cut.end)} ({cut.cause})"
            if not any(start <= cut.start and cut.end <= end for start, end in holes):
                problems.append(f"{name} is not inside a recorded gap: {_near(holes, cut)}")
            inside = cut.cause == "truncate"  # a frame is lost, the connection is not
            for start, end in found.coverage.get(symbol, []) if not inside else ():
                if start < end and start < cut.end and cut.start < end:
                    problems.append(f"{name} overlaps the coverage {span(start, end)}")
            for interval, length in LENGTHS.items():
                for at, row in found.candles.get((symbol, interval), {}).items():
                    if row.state == "final" and at < cut.end and cut.start < at + length:
                        problems.append(f"{name} overlaps the final {interval} candle of {clock(at)}")
    return problems


def excesses(found: Evidence, frames: list[int]) -> list[Excess]:
    """By how much gaps exceed the cuts they are about; ``frames`` are when data was received, ascending.

    Gaps before the first uptime and those that last are left out: they have no cut, or no end.
    """
    out = []
    turns = _turns(found)
    for symbol in found.symbols:
        first = found.first_heard(symbol)
        lost = [gap for gap in found.gaps.get(symbol, []) if gap.cause in CONNECTION_CAUSES]
        for start, end in merged(lost):
            if start < first or end == FOREVER:
                continue
            inside = merged(cut for cut in found.cuts.get(symbol, []) if cut.start < end and start < cut.end)
            over = end - start - sum(min(until, end) - max(at, start) for at, until in inside)
            unread = lag = 0
            for at, until in inside:
                heard = _last(frames, at, start)
                resumed = frames[min(bisect_left(frames, until), len(frames) - 1)]
                unread += max(0, at - heard) + max(0, min(resumed, end) - until)
                turned = _last(turns, heard, start)
                lag += turned % NS
            out.append(Excess(symbol, span(start, end), len(inside), over, unread, lag))
    return out


def _turns(found: Evidence) -> list[int]:
    """When each second first showed in a stamp of any symbol, ascending."""
    seconds: dict[int, int] = {}
    for trades in found.tape.values():
        for trade in trades:
            seconds[trade.second] = min(trade.ns, seconds.get(trade.second, FOREVER))
    return sorted(seconds.values())


def _last(ascending: list[int], before: int, default: int) -> int:
    """The last one before an instant, but none before ``default``."""
    at = bisect_left(ascending, before)
    return max(ascending[at - 1], default) if at else default


def excess_problems(found: Evidence, frames: list[int]) -> list[str]:
    """Gaps that claim more than was lost, with the numbers.

    Two seconds are what whole seconds cost: up to one at each end, were every clock known. The
    feed's is not. Stamps of whole seconds look the same from an exchange that is ``lag`` behind,
    to which the cut came so much earlier, so an honest uptime ends that much earlier; and ours
    may be behind the exchange's by MARGIN, so it begins that much later. Less would be dishonest:
    `tests/property/test_gap_bounds.py` shows both exchanges, and that our bounds are the tightest
    that are true of either.
    """
    return [
        f"{one.symbol}: the gap {one.where} exceeds its {one.cuts} cuts by {one.over / NS:.3f} s, "
        f"of which {one.unread / NS:.3f} s were unread and {one.lag / NS:.3f} s are the clock's"
        for one in excesses(found, frames)
        if not one.cuts or one.over > one.cuts * (GRACE + MARGIN) + one.unread + one.lag
    ]


# --- the daemon's own account


def account_problems(found: Evidence) -> list[str]:
    """From the first uptime on, every instant is either covered or a gap, and not both."""
    problems = []
    for symbol in found.symbols:
        pieces = [(start, end, "covered") for start, end in found.coverage.get(symbol, []) if start < end]
        pieces += [
            (gap.start, gap.end, gap.cause)
            for gap in found.gaps.get(symbol, [])
            if gap.cause in CONNECTION_CAUSES and gap.start < gap.end
        ]
        pieces.sort()
        for (start, end, what), (then, until, other) in pairwise(pieces):
            if then != end:
                fault = "overlaps" if then < end else "leaves a hole before"
                problems.append(f"{symbol}: {what} {span(start, end)} {fault} {other} {span(then, until)}")
    return problems


def volume_problems(found: Evidence) -> list[str]:
    """What is in candles and what passed in gaps are all of the days' volumes."""
    problems = []
    end = found.horizon()
    for symbol in found.symbols:
        totals = {trade.second // DAY: trade.volume for trade in found.tape[symbol] if trade.second < end}
        gaps = found.gaps.get(symbol, [])
        up = any(start < end <= until for start, until in found.coverage.get(symbol, []))
        midnights = [day * DAY for day in list(totals)[1:]]
        # What was traded at the end of a day and not heard is never told: the next day begins at 0.
        less = any(doubt.cause in {"correct", "reset", "roll"} for doubt in found.doubts.get(symbol, []))
        untold = less or any(gap.start - GRACE < at < gap.end + GRACE for at in midnights for gap in gaps)
        if not up or untold or None in totals.values():
            continue
        inside = sum(row.volume or 0.0 for row in found.candles.get((symbol, "1s"), {}).values())
        outside = sum(gap.volume or 0.0 for gap in gaps if gap.start < end)
        total = sum(volume or 0 for volume in totals.values())
        if inside + outside != total:
            problems.append(
                f"{symbol}: {inside:.0f} in candles and {outside:.0f} in gaps are not the day's "
                f"{total} at {clock(end)}, but {inside + outside - total:+.0f}"
            )
    return problems


# --- words


def merged(ranges: Iterable[Gap | Cut]) -> list[tuple[int, int]]:
    """Their union as disjoint ranges; those that touch become one."""
    out: list[tuple[int, int]] = []
    for one in sorted(ranges, key=lambda some: some.start):
        if out and one.start <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], one.end))
        else:
            out.append((one.start, one.end))
    return out


def clock(at: int) -> str:
    """An instant as a time of day."""
    return f"{datetime.fromtimestamp(at / NS, UTC):%H:%M:%S.%f}"[:-3] if at < FOREVER else "now"


def span(start: int, end: int) -> str:
    """A range as times of day."""
    return f"[{clock(start)}, {clock(end)})"


def _near(holes: list[tuple[int, int]], cut: Cut) -> str:
    around = sorted(holes, key=lambda hole: max(hole[0] - cut.end, cut.start - hole[1]))[:2]
    return "the nearest are " + " and ".join(span(*hole) for hole in around) if around else "there is none"


def story(checks: Iterator[list[str]] | list[list[str]], most: int = 12) -> str:
    """All problems as one text; empty if there are none."""
    problems = [problem for some in checks for problem in some]
    more = [f"... and {len(problems) - most} more"] if len(problems) > most else []
    return "\n".join([*problems[:most], *more])


Check = Callable[[Evidence], list[str]]
EVIDENCE_CHECKS: tuple[Check, ...] = (tape_problems, cut_problems, account_problems, volume_problems)
