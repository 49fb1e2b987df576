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


Change = tuple[list[Subscription], list[Subscription]]
"""What to add and what to remove."""


def plan_changes(
    feed: str,
    shards: Sequence[Sequence[Subscription]],
    wanted: Sequence[Subscription],
    *,
    max_instruments: int,
    max_connections: int,
) -> list[Change]:
    """What to change on each connection so that all together carry ``wanted``.

    What stays is not moved. New instruments go where there is room, then to new connections,
    which are the entries beyond ``shards``. Raises ConfigError if there is not enough room.
    """
    now = {sub.key: sub for sub in wanted}
    carried = {sub.key for shard in shards for sub in shard}
    fresh = [sub for key, sub in now.items() if key not in carried]
    changes: list[Change] = []
    for shard in shards:
        remove = [sub for sub in shard if sub.key not in now]
        other = [now[sub.key] for sub in shard if sub.key in now and now[sub.key] != sub]
        room = max_instruments - (len(shard) - len(remove))
        changes.append((other + fresh[:room], remove))
        fresh = fresh[room:]
    while fresh and len(changes) < max_connections:
        changes.append((fresh[:max_instruments], []))
        fresh = fresh[max_instruments:]
    if fresh:
        raise ConfigError(
            f"{feed}: {len(fresh)} of {len(now)} instruments have no room beside those that stay: it takes "
            f"{max_instruments} on each of at most {max_connections} connections; a restart spreads them anew"
        )
    return changes
