"""How many connections a feed needs, and which instruments go where."""

from collections.abc import Sequence

from mdingest.core.control import Subscription
from mdingest.errors import ConfigError


def plan_shards(
    feed: str, subs: Sequence[Subscription], *, max_instruments: int, max_connections: int
) -> list[list[Subscription]]:
    """As few connections as the provider's limits allow, of nearly equal size, in order.

    Raises ConfigError if all of them together are not enough.
    """
    if len(subs) > max_instruments * max_connections:
        raise ConfigError(
            f"{feed}: {len(subs)} instruments are too many: it takes {max_instruments} on each of at most "
            f"{max_connections} connections, {max_instruments * max_connections} in all"
        )
    count = -(-len(subs) // max_instruments)
    return [list(subs[len(subs) * i // count : len(subs) * (i + 1) // count]) for i in range(count)]
