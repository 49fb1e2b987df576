"""``export``: candles into a file, or into a pipe."""

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from mdingest.cli.common import DATABASE_ONLY, AddCommand, load_config

if TYPE_CHECKING:
    from mdingest.app.exporting import Export, Exported
    from mdingest.config import Config

_DONE, _INCOMPLETE = 0, 3


def add(command: AddCommand) -> None:
    """The commands of this group."""
    export = command("export", "candles into a file: CSV, or Parquet for pandas, polars and DuckDB")
    export.add_argument("--symbols", nargs="+", metavar="SYMBOL", help="default: those of the configuration")
    export.add_argument(
        "--interval", default="1m", metavar="LENGTH", help="1m (default), 1s, any Nm or Nh, 1d, 1w"
    )
    export.add_argument(
        "--start",
        metavar="D",
        help="from this date of the exchange, or instant with offset, on; default: all",
    )
    export.add_argument("--end", metavar="D", help="up to, and without, this date or instant; default: now")
    export.add_argument("--format", choices=("csv", "parquet"), default="csv", help="default: csv")
    export.add_argument(
        "--session",
        choices=("regular", "all"),
        default="regular",
        help="all: with pre-open, auction and post-close of intraday candles",
    )
    export.add_argument(
        "--output", default="-", metavar="PATH", help="a file, or - for the standard output (default)"
    )
    export.set_defaults(handler=_export)


def _export(args: Namespace) -> int:
    from mdingest.app.exporting import Export, Exported
    from mdingest.core.interval import Interval
    from mdingest.errors import ConfigError

    try:
        interval = Interval.parse(args.interval)
    except ValueError as exc:
        raise ConfigError(f"--interval {exc}") from exc
    if args.format == "parquet" and args.output == "-" and sys.stdout.isatty():
        raise ConfigError("--format parquet is nothing for a terminal: give --output PATH")
    config = load_config(args, unused=DATABASE_ONLY)
    symbols = args.symbols or config.symbols
    if not symbols:
        raise ConfigError("which symbols? give --symbols, or list them in the configuration")
    wanted = Export(symbols, interval, args.start, args.end, all_sessions=args.session == "all")
    said = Exported()
    _run(config, wanted, said, args)
    for symbol, why in said.unknown.items():
        print(f"{symbol}: {why}", file=sys.stderr)
    for symbol, rows in said.rows.items():
        if not rows:
            print(f"{symbol}: no candles of {interval} in that range", file=sys.stderr)
    if args.output != "-":
        filled = sum(1 for rows in said.rows.values() if rows)
        print(f"{args.output}: {sum(said.rows.values())} candles of {filled} symbols", file=sys.stderr)
    return _INCOMPLETE if said.unknown else _DONE


def _run(config: "Config", wanted: "Export", said: "Exported", args: Namespace) -> None:
    """SIGTERM ends it as Ctrl-C does: what was half written goes."""
    import asyncio
    import signal
    from contextlib import aclosing

    from mdingest.app.exportfiles import sink_of
    from mdingest.app.exporting import export
    from mdingest.cli.beside import clock_beside
    from mdingest.cli.memory import keep_the_heap_small
    from mdingest.config import read_clock

    keep_the_heap_small()

    async def run() -> None:
        task = asyncio.current_task()
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        clock = await clock_beside(config, read_clock())
        async with aclosing(export(config, clock, wanted, said)) as pieces:
            first = await anext(pieces, None)  # errors before a file is begun
            with sink_of(args.format, args.output, wanted.interval) as sink:
                if first is not None:
                    sink.write(*first)
                async for symbol, candles in pieces:
                    sink.write(symbol, candles)

    try:
        asyncio.run(run())
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
