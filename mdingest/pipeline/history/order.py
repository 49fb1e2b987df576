"""What a backfill is to bring."""

from collections.abc import Sequence
from dataclasses import dataclass

from mdingest.core.instrument import Instrument
from mdingest.core.interval import Interval
from mdingest.core.spans import Span

EARLIEST_NS, LATEST_NS = -(1 << 61), 1 << 61


@dataclass(frozen=True, slots=True)
class Order:
    """What to bring. ``start_ns`` None: everything, which only files allow; ``end_ns`` None: to now."""

    instruments: Sequence[Instrument]
    interval: Interval
    start_ns: int | None = None
    end_ns: int | None = None
    force: bool = False  # covered ranges too
    anew: bool = False  # a series that the provider has adjusted since takes the place of its stored one
    dry_run: bool = False  # say what would be asked for, and ask for nothing
    only: Sequence[Span] | None = None  # nothing else of the range: what another provider left
