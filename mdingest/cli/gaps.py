"""``gaps``: what is missing, why, and how its repair stands."""

from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from mdingest.cli.common import AddCommand, load_config
from mdingest.cli.screen import length, table

if TYPE_CHECKING:  # heavy, and wanted by the type checker only
    from mdingest.api.complete import Completeness
    from mdingest.api.holes import Hole
    from mdingest.app.gaps import Instant, Listed
    from mdingest.config import Config
    from mdingest.telemetry.clock import Clock

_DONE = "repaired"


def add(command: AddCommand) -> None:
    """The commands of this group."""
    gaps = command("gaps", "what is missing, why, and how its repair stands")
    gaps.add_argument(
        "--symbols", nargs="+", default=[], metavar="SYMBOL", help="default: all that are stored"
    )
    gaps.add_argument(
        "--start",
        type=_instant,
        metavar="D",
        help="a trade date, or an instant with offset (default: a week ago)",
    )
    gaps.add_argument("--end", type=_instant, metavar="D", help="up to, and without, this (default: now)")
    gaps.add_argument(
        "--all", action="store_true", help="also what is repaired, or lies outside of trading hours"
    )
    gaps.add_argument(
        "--repair",
        action="store_true",
        help="fetch what is missing now, also what a daemon has given up, and show how each gap stands then",
    )
    gaps.add_argument(
        "--counts",
        action="store_true",
        help="how complete each symbol and interval is: candles of a whole record, known and missing",
    )
    gaps.add_argument(
        "--json", action="store_true", help="for programs: an object a gap, or with --counts one a series"
    )
    gaps.set_defaults(handler=_gaps)


def _instant(text: str) -> "Instant":
    from mdingest.app.gaps import instant
    from mdingest.errors import ConfigError

    try:
        return instant(text)
    except ConfigError as exc:
        raise ArgumentTypeError(str(exc)) from None


def _gaps(args: Namespace) -> int:
    config = load_config(args)
    import asyncio

    from mdingest.cli import DONE, INCOMPLETE
    from mdingest.cli.beside import clock_beside
    from mdingest.config import for_simulators, read_clock, real_addresses

    clock = asyncio.run(clock_beside(config, read_clock()))
    if args.repair:
        for_simulators(clock, real_addresses(config))
        return _repair(config, clock, args)
    listed = asyncio.run(_listed(config, clock, args))
    now = clock.wall_ns()
    shown = [
        (one.symbol, hole)
        for one in listed
        for hole in one.holes
        if args.all or (hole.in_hours and hole.repair != _DONE)
    ]
    series = [as_counts(one.symbol, found) for one in listed for found in one.series]
    if args.counts:
        _print(counts(series, every=True), series, json=args.json)
    elif args.json:
        _show(shown, now, json=True)
    else:
        print("\n".join([*report(shown, now), "", *counts(series, every=bool(args.symbols))]))
    unknown = [one.symbol for one in listed if not one.known]
    _tell(unknown)
    return INCOMPLETE if unknown else DONE


def _repair(config: "Config", clock: "Clock", args: Namespace) -> int:
    import asyncio

    from mdingest.app.mending import mend_gaps
    from mdingest.cli import DONE, INCOMPLETE

    mended, unknown = asyncio.run(mend_gaps(config, clock, args.symbols, start=args.start, end=args.end))
    _show(mended, clock.wall_ns(), json=args.json)
    _tell(unknown)
    return INCOMPLETE if unknown or any(hole.repair != _DONE for _, hole in mended) else DONE


def _tell(unknown: "list[str]") -> None:
    import sys

    for symbol in unknown:
        sys.stderr.write(f"mdingest: {symbol}: nothing is stored under this name\n")


def _show(shown: "list[tuple[str, Hole]]", now_ns: int, *, json: bool) -> None:
    rows = [as_object(symbol, hole, now_ns) for symbol, hole in shown]
    _print(report(shown, now_ns), rows, json=json)


def _print(lines: list[str], rows: list[dict[str, Any]], *, json: bool) -> None:
    if not json:
        print("\n".join(lines))
        return
    import orjson

    for row in rows:
        print(orjson.dumps(row).decode())


async def _listed(config: "Config", clock: "Clock", args: Namespace) -> "list[Listed]":
    from mdingest.app.gaps import list_gaps

    return [one async for one in list_gaps(config, clock, args.symbols, start=args.start, end=args.end)]


def as_object(symbol: str, hole: "Hole", now_ns: int) -> dict[str, Any]:
    """One gap for programs; ``end`` is null while it lasts."""
    from mdingest.api.holes import lost_ns
    from mdingest.api.times import format_instant
    from mdingest.core.units import NS

    return {
        "symbol": symbol,
        "start": format_instant(hole.start_ns),
        "end": None if hole.end_ns is None else format_instant(hole.end_ns),
        "seconds": round(lost_ns(hole, now_ns) / NS),
        "cause": hole.cause,
        "volume": hole.volume,
        "source": hole.source or None,
        "repair": hole.repair,
        "reason": hole.reason or None,
    }


def as_counts(symbol: str, found: "Completeness") -> dict[str, Any]:
    """How complete one series is for programs; ``why`` sums the candles of each reason."""
    from mdingest.api.complete import counted_fields

    sums: dict[tuple[str, str, str], int] = {}
    for lack in found.lacks:
        key = (lack.why, lack.repair, lack.reason)
        sums[key] = sums.get(key, 0) + lack.candles
    return {
        "symbol": symbol,
        **counted_fields(found),
        "why": [
            {"why": why, "candles": candles, "repair": repair, "reason": reason}
            for (why, repair, reason), candles in sums.items()
        ],
    }


def counts(series: list[dict[str, Any]], *, every: bool) -> list[str]:
    """A table for people of series that lack something, or of ``every`` one, and a sum for each interval."""
    rows = [
        {name: row[name] for name in ("symbol", "interval", "start", "expected", "known", "missing")}
        | {"why": "; ".join(_why(one) for one in row["why"]) or None}
        for row in series
        if every or row["missing"]
    ]
    lines = [*table(rows, "", most=None), ""] if rows else []
    for interval in dict.fromkeys(row["interval"] for row in series):
        of = [row for row in series if row["interval"] == interval]
        whole = sum(not row["missing"] for row in of)
        expected, missing = (sum(row[name] for row in of) for name in ("expected", "missing"))
        text = f"{missing} of {expected} candles are missing, {whole} of {len(of)} symbols are complete"
        lines.append(f"{interval}: {text}")
    return lines or ["nothing was ever heard or fetched"]


def _why(one: dict[str, Any]) -> str:
    """``disconnect 2 (unfillable: kite has no such bars)``."""
    how = f"{one['repair']}: {one['reason']}" if one["reason"] else one["repair"]
    return f"{one['why']} {one['candles']} ({how})"


def report(shown: "list[tuple[str, Hole]]", now_ns: int) -> list[str]:
    """A table for people, and what it adds up to."""
    if not shown:
        return ["nothing is missing"]
    rows = [as_object(symbol, hole, now_ns) for symbol, hole in shown]
    lasting = sum(row["end"] is None for row in rows)
    for row in rows:
        row["end"] = row["end"] or "still lasts"
        if row["volume"] is not None and row["volume"].is_integer():
            row["volume"] = int(row["volume"])
        row["length"] = length(row.pop("seconds"))
    columns = ("symbol", "start", "end", "length", "cause", "volume", "source", "repair", "reason")
    lines = list(table([{name: row[name] for name in columns} for row in rows], "", most=None))
    symbols = len({symbol for symbol, _ in shown})
    total = f"{len(rows)} gap{'s' if len(rows) != 1 else ''} of {symbols} symbol{'s' if symbols != 1 else ''}"
    return [*lines, f"{total}, {lasting} still lasting"]
