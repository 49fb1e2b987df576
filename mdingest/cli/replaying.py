"""``replay``: candles again, from recorded frames."""

import sys
from argparse import Namespace
from pathlib import Path

from mdingest.cli.common import AddCommand, load_config


def add(command: AddCommand) -> None:
    """The commands of this group."""
    replay = command("replay", "rebuild candles from recorded frames, or check stored ones against them")
    replay.add_argument("journal", type=Path, metavar="JOURNAL", help="a journal directory")
    replay.add_argument(
        "--verify",
        action="store_true",
        help="write nothing; compare with what the database holds",
    )
    replay.add_argument(
        "--start", metavar="T", help="only what was heard from this instant (with offset) or address on"
    )
    replay.add_argument("--end", metavar="T", help="only what was heard before this one")
    replay.set_defaults(handler=_replay)


def _replay(args: Namespace) -> int:
    config = load_config(args)
    import asyncio

    from mdingest.app import run_replay

    report = asyncio.run(
        run_replay(
            config,
            args.journal,
            getattr(args, "database", None),
            verify=args.verify,
            start=args.start,
            end=args.end,
        )
    )
    print(f"journal {report.journal}: {report.batches} batches, {report.packets} packets, {report.rows} rows")
    for part in report.not_comparable:
        print(f"not comparable {part}")
    if args.verify:
        print(
            f"{report.compared} rows compared, {report.differences} differ, "
            f"{report.replaced} were replaced by another source"
        )
    for row in report.differing:
        print(row, file=sys.stderr)
    for damage in report.damage:
        print(f"damaged: {damage}", file=sys.stderr)
    if report.differences:
        return 1
    return 3 if report.damage else 0
