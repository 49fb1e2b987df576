"""``backfill``: history from a provider, only what is missing."""

from argparse import ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any

from mdingest.cli.common import AddCommand, load_config, set_up_logging

if TYPE_CHECKING:
    from mdingest.app import Wanted
    from mdingest.config import Config
    from mdingest.pipeline.history import Report, SymbolReport

_DEFAULT_PROVIDER = "yfinance"
_DEFAULT_INTERVAL = "1m"
_DONE, _FAILED, _INCOMPLETE = 0, 1, 3


def add(command: AddCommand) -> None:
    """The commands of this group."""
    backfill = command("backfill", "history from a provider: only what is missing")
    backfill.add_argument(
        "--symbols", nargs="+", metavar="SYMBOL", help="default: those of the configuration"
    )
    backfill.add_argument("--interval", metavar="LENGTH", help="1m (default), 5m, 15m, 30m, 1h, 1d, 1w or 1s")
    backfill.add_argument(
        "--provider",
        metavar="NAME",
        help="yfinance, kite, csv ..., or several in the order in which they are asked: kite,yfinance; "
        "default: as the configuration's first request, else yfinance",
    )
    backfill.add_argument(
        "--file", metavar="PATH", help="csv: read this file, whatever providers.csv.files says"
    )
    backfill.add_argument(
        "--period", metavar="SPAN", type=_span, help="back from now, or from --end: 7d, 12h"
    )
    backfill.add_argument(
        "--start", metavar="D", help="from this date of the exchange, or instant with offset, on"
    )
    backfill.add_argument("--end", metavar="D", help="up to, and without, this date or instant")
    backfill.add_argument(
        "--force",
        action="store_true",
        help="ask again for what is covered; a series adjusted since is replaced as a whole",
    )
    backfill.add_argument(
        "--dry-run", action="store_true", help="say what would be asked for, and ask for nothing"
    )
    backfill.add_argument(
        "--json", action="store_true", help="a summary for programs at the end, nothing else"
    )
    backfill.set_defaults(handler=_backfill)


def _span(text: str) -> float:
    from mdingest.config.units import parse_span

    try:
        return parse_span(text)
    except ValueError as exc:
        raise ArgumentTypeError(str(exc)) from exc


def _backfill(args: Namespace) -> int:
    from mdingest.errors import ConfigError

    if args.period is not None and args.start is not None:
        raise ConfigError("--period and --start both say where to begin: give one of them")
    config, requests = _requests(args)
    import asyncio

    from mdingest.app import run_backfill
    from mdingest.cli.bars import on_terminal
    from mdingest.config import read_clock

    clock = read_clock(config)
    with on_terminal(quiet=args.json or args.dry_run) as progress:
        set_up_logging(args)  # again: where bars move, lines have to go above them
        reports = [asyncio.run(run_backfill(config, clock, wanted, progress)) for wanted in requests]
    if args.json:
        import orjson

        print(orjson.dumps(summary(reports), option=orjson.OPT_INDENT_2).decode())
    elif args.dry_run:
        _print_plan(reports)
    return _code([said for report in reports for said in report.symbols])


def _requests(args: Namespace) -> "tuple[Config, list[Wanted]]":
    """What the options ask for; without any, what the configuration does."""
    from mdingest.app import Wanted
    from mdingest.core.interval import Interval
    from mdingest.errors import ConfigError

    overrides: dict[str, object] = {}
    if args.file is not None:
        overrides["providers.csv.files"] = args.file
    chosen = {"provider": args.provider, "interval": args.interval, "symbols": args.symbols}
    if any(value is not None for value in chosen.values()):
        entries = load_config(args, overrides).backfill if args.provider is None else ()
        usual = ",".join(entries[0].providers) if entries else _DEFAULT_PROVIDER
        request: dict[str, Any] = {"provider": usual, "interval": _DEFAULT_INTERVAL, "symbols": "all"}
        overrides["backfill"] = [request | {key: value for key, value in chosen.items() if value is not None}]
    config = load_config(args, overrides)
    if not config.backfill:
        raise ConfigError("what? give --provider and --symbols, or list requests under backfill")
    wanted = []
    for entry in config.backfill:
        symbols = config.symbols_of(entry)
        if not symbols:
            raise ConfigError("which symbols? give --symbols, or list them in the configuration")
        told = args.period is not None or args.start is not None or "backfill" in overrides
        wanted.append(
            Wanted(
                entry.providers,
                symbols,
                Interval.parse(entry.interval),
                start=args.start,
                end=args.end,
                period_s=args.period if told else entry.period_s,
                force=args.force,
                dry_run=args.dry_run,
            )
        )
    return config, wanted


def _code(symbols: "list[SymbolReport]") -> int:
    of: dict[str, list[SymbolReport]] = {}  # one of each provider that was asked
    for said in symbols:
        of.setdefault(f"{said.symbol} {said.interval}", []).append(said)
    if all(any(one.failures for one in some) and not any(one.rows for one in some) for some in of.values()):
        return _FAILED
    return _INCOMPLETE if any(said.failed for said in symbols) else _DONE


def summary(reports: "list[Report]") -> dict[str, Any]:
    """For programs."""
    symbols = [said for report in reports for said in report.symbols]
    rows = [
        {
            "symbol": said.symbol,
            "interval": said.interval,
            "provider": said.provider,
            "requests": said.requests,
            "rows": said.rows,
            "changed": said.changed,
            "rejected": said.rejected,
            "empty": said.empty,
            "unfinished": said.unfinished,
            "planned": [_range(span) for span in said.planned],
            "beyond_depth": [_range(span) for span in said.beyond],
            "rejects": said.rejects,
            "notes": said.notes,
            "failures": said.failures,
        }
        for said in symbols
    ]
    totals = {key: sum(getattr(said, key) for said in symbols) for key in ("rows", "changed", "rejected")}
    return {
        "symbols": rows,
        **totals,
        "failed": [said.symbol for said in symbols if said.failed],
    }


def _print_plan(reports: "list[Report]") -> None:
    for said in (said for report in reports for said in report.symbols):
        count = f"{len(said.requests)} request{'s' if len(said.requests) != 1 else ''}"
        print(f"{said.symbol} {said.interval} from {said.provider}: {count}")
        for request in said.requests:
            print(f"  {request}")
        if said.beyond:  # each session by itself, which are thousands
            print(f"  out of reach: {' to '.join(_range((said.beyond[0][0], said.beyond[-1][1])))}")


def _range(span: tuple[int, int]) -> list[str]:
    from mdingest.api.times import format_instant

    return [format_instant(ns) for ns in span]
