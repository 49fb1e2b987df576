"""All benchmarks, one after another: ``python -m benchmarks [--full] [NAME ...]``.

Quick takes some five minutes on two cores. The exit code says whether the measuring worked,
not whether the targets were met: that depends on the machine, and on what else it does.
"""

import argparse
import platform
import time

import numpy as np

from benchmarks import (
    csv_backfill,
    decode,
    end_to_end,
    fidelity,
    flat_out,
    outage,
    postgres_read,
    postgres_write,
    readme_query,
    sqlite_upsert,
    startup,
    step,
)
from benchmarks.report import Row, show

_SCRIPTS = {
    "decode": decode,
    "step": step,
    "sqlite_upsert": sqlite_upsert,
    "csv_backfill": csv_backfill,
    "readme_query": readme_query,
    "end_to_end": end_to_end,
    "flat_out": flat_out,
    "outage": outage,
    "postgres_write": postgres_write,
    "postgres_read": postgres_read,
    "startup": startup,
    "fidelity": fidelity,
}


def main() -> None:
    """Run, print, sum up."""
    parser = argparse.ArgumentParser(description="Measure ours beside the reference; see design targets.")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="five minutes in all (the default)")
    extent.add_argument("--full", action="store_true", help="more rounds and longer runs")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(_SCRIPTS))
    given = parser.parse_args()
    unknown = sorted(set(given.names) - set(_SCRIPTS))
    if unknown:
        parser.error(f"no benchmark {', '.join(unknown)}; there are {', '.join(_SCRIPTS)}")
    begun = time.monotonic()
    print(f"Python {platform.python_version()}, numpy {np.__version__}, {platform.machine()}")
    rows: list[tuple[str, Row]] = []
    for name in given.names or _SCRIPTS:
        script = _SCRIPTS[name]
        found = script.run(full=given.full)
        show(script.TITLE, found)
        rows += [(name, row) for row in found]
    judged = [(name, row) for name, row in rows if row.met is not None]
    missed = [(name, row) for name, row in judged if not row.met]
    print(f"\n{len(judged) - len(missed)} of {len(judged)} targets met in {time.monotonic() - begun:.0f} s")
    for name, row in missed:
        print(f"  missed: {name}: {row.what}: {row.ours} {row.ratio} (target {row.target})")


if __name__ == "__main__":
    main()
