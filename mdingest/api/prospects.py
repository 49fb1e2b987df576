"""Who will fill what nobody recorded, as far as the configuration of a daemon says."""

from collections.abc import Callable
from dataclasses import dataclass

from mdingest.api.missing import UNRECORDED
from mdingest.api.wanted import EARLIEST
from mdingest.store.base import GapRow
from mdingest.store.upkeep import OPEN

NOBODY = "no provider is configured for this interval"
SWITCHED_OFF = "repair.enabled is false; `mdingest gaps --repair` fetches it"
TOO_OLD = "further back than the period under backfill"


@dataclass(frozen=True, slots=True)
class Prospects:
    """Without a configuration: nobody knows, and no reasons are told."""

    earliest: Callable[[int], int | None] = lambda _: None
    """Interval in seconds to the first instant that any configured provider has; None: nobody says."""
    filled_from: Callable[[str, int], int | None] = lambda _symbol, _interval_s: EARLIEST
    """From when on scheduled history fills an interval (seconds) of a symbol; None: it does not."""
    repairing: Callable[[], bool] = lambda: True
    """Whether the daemon repairs the holes of its feeds."""

    def told(self, row: GapRow) -> str:
        """Why the repair of a recorded hole is where it is."""
        idle = row.repair == OPEN and row.end_ns is not None and not self.repairing()
        return row.reason or (SWITCHED_OFF if idle else "")

    def idle(self, symbol: str, interval_s: int, cause: str, end_ns: int) -> str:
        """Why nobody will fill a hole without a row by himself, and what would; empty if somebody will."""
        since = self.filled_from(symbol, interval_s)
        if since is not None and end_ns > since:
            return ""
        by_hand = "`mdingest gaps --repair`" if cause == UNRECORDED else "`mdingest backfill`"
        return f"{NOBODY if since is None else TOO_OLD}; {by_hand} fetches it"


UNKNOWN = Prospects()
