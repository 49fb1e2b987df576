import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdingest.core.control import Subscription, VolumeKind
from mdingest.errors import ConfigError
from mdingest.pipeline.shards import plan_shards


def subs(count: int) -> list[Subscription]:
    return [Subscription(str(i), i, 100.0, "NSE.EQ", VolumeKind.CUMULATIVE) for i in range(count)]


@given(count=st.integers(0, 300), room=st.integers(1, 60))
def test_everything_fits_into_as_few_connections_as_possible(count: int, room: int) -> None:
    shards = plan_shards("kite_ws", subs(count), max_instruments=room, max_connections=count // room + 1)
    assert [s for shard in shards for s in shard] == subs(count)
    assert len(shards) == -(-count // room)
    assert all(1 <= len(shard) <= room for shard in shards)
    assert max(map(len, shards), default=0) - min(map(len, shards), default=0) <= 1


def test_too_many_instruments_are_a_clear_error() -> None:
    assert len(plan_shards("kite_ws", subs(9000), max_instruments=3000, max_connections=3)) == 3
    with pytest.raises(ConfigError, match=r"kite_ws: 9001 instruments .* 3000 .* 3 connections, 9000 in all"):
        plan_shards("kite_ws", subs(9001), max_instruments=3000, max_connections=3)
