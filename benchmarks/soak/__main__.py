"""Long runs of the real process: ``python -m benchmarks.soak [PART ...]``, or ``make soak ARGS=PART``.

The exit code is 1 if any part found something wrong or missed its number.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial

from benchmarks.report import Row, show
from benchmarks.soak import day, disk, fuzz, kills, load

PARTS: dict[str, tuple[str, str, Callable[..., Iterable[Row]]]] = {
    "day": ("7 min", "a whole NSE day, sixty times as fast, against its tape", day.run),
    "disk": ("2 min", "syncs that take half a second each", disk.run),
    "kills": ("30 min", "500 kills of the daemon, against tape and journal", kills.run),
    "fuzz": ("12 min", "a million hostile frames and replies, chosen by coverage", fuzz.run),
    "market": ("11 min", "9,000 instruments x 4/s on one core", load.market),
    "starved": ("5 min", "the same with too little CPU: memory", load.starved),
    "steady": ("62 min", "500 symbols x 2/s in 0.5 CPU and 256 MiB", load.steady),
}
SIZED = {"disk", "kills", "fuzz", "market", "starved", "steady"}


def main() -> None:
    """Say what comes, run it, print the table."""
    words = ", ".join(f"{name} ({took}: {what})" for name, (took, what, _) in PARTS.items())
    parser = argparse.ArgumentParser(description=f"Long runs: {words}.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--size", type=float, help="rows, kills, inputs or minutes, if not their own")
    given = parser.parse_args()
    if unknown := sorted(set(given.parts) - set(PARTS)):
        parser.error(f"no part {', '.join(unknown)}; there are {words}")
    found: list[tuple[str, list[Row]]] = []
    for name in given.parts or PARTS:
        took, what, run = PARTS[name]
        print(f"{name}: {what}; {took}", flush=True)
        if given.size and name in SIZED:
            run = partial(run, int(given.size) if given.size.is_integer() else given.size)
        begun = time.monotonic()
        rows = []
        for row in run():
            rows.append(row)
            print(f"  {row.what}: {row.ours} {row.reference}".rstrip(), flush=True)
        found.append((f"{name}: {what}; took {(time.monotonic() - begun) / 60:.1f} min", rows))
        show(*found[-1])
    judged = [(name, row) for name, rows in found for row in rows if row.met is not None]
    missed = [(name, row) for name, row in judged if not row.met]
    print(f"\n{len(judged) - len(missed)} of {len(judged)} met")
    for name, row in missed:
        print(f"  missed: {name.partition(':')[0]}: {row.what}: {row.ours} (should be {row.target})")
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
