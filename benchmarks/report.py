"""How benchmarks measure and what they print.

Contenders take turns, round after round, and the median of the rounds counts: whatever else
the machine does then hits all of them alike. What happens in this process is measured in CPU
seconds of this process, so that a busy neighbour costs cache, not time.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

NOT_INSTALLED = "not installed"

Prepare = Callable[[], Callable[[], int]]
"""Makes a fresh contender, unmeasured. The call it returns does the work and says how much."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table. ``met`` is None where nothing is demanded."""

    what: str
    ours: str
    reference: str = ""
    ratio: str = ""
    target: str = ""
    met: bool | None = None


def rates(rounds: int, contenders: Mapping[str, Prepare]) -> dict[str, float]:
    """Work per CPU second of each contender, median of ``rounds``, after one round to warm up."""
    seen: dict[str, list[float]] = {name: [] for name in contenders}
    for n in range(rounds + 1):
        for name, prepare in contenders.items():
            work = prepare()
            begun = time.process_time()
            done = work()
            took = time.process_time() - begun
            if n:
                seen[name].append(done / took)
    return {name: statistics.median(values) for name, values in seen.items()}


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def per_second(rate: float) -> str:
    """``1.23 M/s``."""
    if rate >= 1e6:
        return f"{rate / 1e6:.3g} M/s"
    return f"{rate / 1e3:.3g} k/s" if rate >= 1e3 else f"{rate:.3g}/s"


def at_least(
    what: str, ours: float, *, reference: tuple[str, float] | None, ratio: float = 0, rate: float = 0
) -> Row:
    """A row for rates. Demanded are ``ratio`` times the reference, and ``rate`` itself; 0: nothing."""
    target = [f">= {ratio:g} x"] if ratio else []
    target += [f">= {per_second(rate)}"] if rate else []
    met = [ours >= rate] if rate else []
    if reference is None:
        return Row(what, per_second(ours), "", "", " ".join(target), all(met) if met else None)
    name, theirs = reference
    if ratio:
        met.append(ours >= ratio * theirs)
    return Row(
        what,
        per_second(ours),
        f"{name} {per_second(theirs)}",
        f"{ours / theirs:.3g} x",
        ", ".join(target),
        all(met) if met else None,
    )


def at_most(what: str, value: float, most: float, unit: str, *, note: str = "") -> Row:
    """A row for something that must not exceed a limit."""
    return Row(what, f"{value:.3g} {unit}", note, "", f"<= {most:g} {unit}", value <= most)


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a table."""
    verdict = {None: "", True: "met", False: "MISSED"}
    cells = [("", "ours", "reference", "ratio", "target", "")]
    cells += [(row.what, row.ours, row.reference, row.ratio, row.target, verdict[row.met]) for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(6)]
    print(f"\n{title}")
    for line in cells:
        print("  " + "  ".join(f"{cell:{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())


def main(title: str, run: Callable[..., list[Row]]) -> None:
    """What a script does when it is run alone."""
    parser = argparse.ArgumentParser(description=title)
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", action="store_true", help="seconds rather than minutes (the default)")
    extent.add_argument("--full", action="store_true", help="more rounds and longer runs")
    show(title, run(full=parser.parse_args().full))
