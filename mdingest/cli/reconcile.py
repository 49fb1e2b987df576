"""``reconcile``: what was built live, against what another source says of the same day."""

import sys
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from mdingest.cli.common import AddCommand, load_config
from mdingest.cli.screen import table

if TYPE_CHECKING:  # heavy, and wanted by the type checker only
    from mdingest.app.reconciling import Told
    from mdingest.store.base import Difference

_EVER = ("0000-00-00", "9999-99-99")
_DONE, _FAILED, _INCOMPLETE = 0, 1, 3


def add(command: AddCommand) -> None:
    """The commands of this group."""
    reconcile = command("reconcile", "compare what was built live with another source's candles of a day")
    reconcile.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="default: those of the entries")
    reconcile.add_argument(
        "--provider", metavar="NAME", help="kite, bhavcopy ...; default: the entries of the configuration"
    )
    reconcile.add_argument(
        "--interval", metavar="LENGTH", help="1m or 1d (default: 1m with --provider, else all)"
    )
    reconcile.add_argument("--date", metavar="D", help="trade date (default: the last that is over)")
    reconcile.add_argument("--show", action="store_true", help="what was found before; fetches nothing")
    reconcile.add_argument("--all", action="store_true", help="also the fields in which nothing differs")
    reconcile.add_argument("--json", action="store_true", help="all of it for programs, an object a field")
    reconcile.set_defaults(handler=_reconcile)


def _reconcile(args: Namespace) -> int:
    from mdingest.errors import ConfigError

    overrides: dict[str, object] = {}
    if args.provider is not None and not args.show:
        entry: dict[str, Any] = {"provider": args.provider, "interval": args.interval or "1m"}
        overrides["reconcile"] = [entry | {"symbols": args.symbols or "all"}]
    config = load_config(args, overrides)
    import asyncio

    from mdingest.app.reconciling import run_reconcile, stored_differences
    from mdingest.config import read_clock

    date = _date(args.date)
    problems: list[str] = []
    if args.show:
        first, last = (date, date) if date else _EVER
        told = asyncio.run(stored_differences(config, args.symbols or (), first, last))
        told = [one for one in told if _is_wanted(one[1], args.provider, args.interval)]
    else:
        entries = config.reconcile
        if not entries:
            raise ConfigError("with whom? give --provider, or list entries under reconcile")
        entries = tuple(one for one in entries if args.interval in (None, one.interval))
        if not entries:
            raise ConfigError(f"no entry under reconcile has interval {args.interval}: give --provider")
        if args.provider is None and args.symbols is not None:
            entries = tuple(one.model_copy(update={"symbols": tuple(args.symbols)}) for one in entries)
        clock = read_clock(config)
        told = asyncio.run(run_reconcile(config, clock, entries, date, problems.append))
    _show(told, json=args.json, every=args.all)
    for problem in problems:
        sys.stderr.write(f"mdingest: {problem}\n")
    if problems and not told:
        return _FAILED
    return _INCOMPLETE if problems else _DONE


def _is_wanted(one: "Difference", provider: str | None, interval: str | None) -> bool:
    from mdingest.core.interval import Interval

    return provider in (None, one.other) and interval in (None, Interval(one.interval_s).text)


def _date(text: str | None) -> str:
    import datetime as dt

    from mdingest.errors import ConfigError

    try:
        return "" if text is None else dt.date.fromisoformat(text).isoformat()
    except ValueError:
        raise ConfigError(f"--date must be a trade date like 2026-11-20, was {text!r}") from None


def _show(told: "list[Told]", *, json: bool, every: bool) -> None:
    from mdingest.api.listings import difference_fields

    rows = [{"symbol": symbol, **difference_fields(one)} for symbol, one in told]
    if json:
        import orjson

        for row in rows:
            print(orjson.dumps(row).decode())
        return
    print("\n".join(report(rows, every=every)))


def report(rows: list[dict[str, Any]], *, every: bool = False) -> list[str]:
    """A table for people of what differs (or of ``every`` field), and a line for each comparison."""
    if not rows:
        return ["nothing was compared"]
    shown = [
        row | {"ours": _number(row["ours"]), "theirs": _number(row["theirs"]), "off": _off(row)}
        for row in rows
        if every or row["differing"]
    ]
    lines = [*table(shown, "", most=None), ""] if shown else []
    sums: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for row in rows:
        sums.setdefault((row["date"], row["interval"], row["other"]), []).append(row)
    for (date, interval, other), group in sorted(sums.items()):
        symbols = len({row["symbol"] for row in group})
        compared, differing = (sum(row[name] for row in group) for name in ("compared", "differing"))
        text = f"{symbols} symbol{'s' if symbols != 1 else ''}, {differing} of {compared} values differ"
        lines.append(f"{date} {interval} against {other}: {text}")
    return lines


def _number(value: float | None) -> str | None:
    """All digits: it is they that differ."""
    return None if value is None else f"{value:.12g}"


def _off(row: dict[str, Any]) -> str | None:
    """By how much theirs is higher, in percent of ours."""
    if row["field"] == "candle" or not row["ours"] or row["theirs"] is None:
        return None
    return f"{(row['theirs'] - row['ours']) / row['ours'] * 100:+.3g}%"
