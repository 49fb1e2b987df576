"""A small server's share for one process: so much of a core, so much memory.

The kernel's control groups enforce it where this user may make one (version 1 or 2); page cache
counts as memory there, as in a container. What it is given is its own: neighbours that are busy
wait for it, as on a server that one has paid for. Elsewhere the process is only watched, and says so.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_PERIOD_US = 100_000
_FIRST_COME = 1 << 18, 10_000  # the greatest weight there is, in either version
_ENTER = 'for group in $1; do echo $$ > "$group/cgroup.procs" || exit 70; done; shift; exec "$@"'


@dataclass(frozen=True, slots=True)
class Limits:
    """``groups`` are empty where nothing can be enforced."""

    cores: float
    memory_mb: int
    groups: tuple[Path, ...]

    def __str__(self) -> str:
        share = f"{self.cores:g} CPU, {self.memory_mb} MiB"
        return f"{share}, enforced by control groups" if self.groups else f"{share}: watched, not enforced"

    def command(self, words: list[str]) -> list[str]:
        """The same command, inside: it enters before it becomes the program."""
        return ["sh", "-c", _ENTER, "sh", " ".join(map(str, self.groups)), *words] if self.groups else words

    def throttled_s(self) -> float:
        """How long it was held back for want of CPU. s."""
        for group in self.groups:
            with suppress(FileNotFoundError):
                told = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
                return int(told.get("throttled_time", 1000 * int(told.get("throttled_usec", 0)))) / 1e9
        return 0.0


@contextmanager
def limits(cores: float, memory_mb: int) -> Iterator[Limits]:
    """Groups of their own while the block lasts."""
    quota, memory = int(cores * _PERIOD_US), memory_mb << 20
    name = f"mdingest-soak-{time.time_ns()}"
    first = {
        _ROOT / "cpu" / name: {
            "cpu.shares": _FIRST_COME[0],
            "cpu.cfs_period_us": _PERIOD_US,
            "cpu.cfs_quota_us": quota,
        },
        _ROOT / "memory" / name: {"memory.limit_in_bytes": memory},
    }
    second = {
        _ROOT / name: {
            "cpu.weight": _FIRST_COME[1],
            "cpu.max": f"{quota} {_PERIOD_US}",
            "memory.max": memory,
        }
    }
    made: list[Path] = []
    try:
        for groups in (first, second):
            try:
                for group, values in groups.items():
                    group.mkdir()
                    made.append(group)
                    for file, value in values.items():
                        (group / file).write_text(str(value))
                break
            except OSError:
                _remove(made)
        yield Limits(cores, memory_mb, tuple(made))
    finally:
        _remove(made)


def _remove(made: list[Path]) -> None:
    while made:
        group = made.pop()
        for _ in range(50):  # what left it a moment ago may still be counted
            with suppress(OSError):
                group.rmdir()
                break
            time.sleep(0.1)
