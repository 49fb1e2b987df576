from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdingest.core.control import Subscription, VolumeKind
from mdingest.errors import ConfigError
from mdingest.pipeline.shards import Change, plan_changes, plan_shards


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


def keys(changes: list[Change]) -> list[tuple[list[str], list[str]]]:
    return [([sub.key for sub in add], [sub.key for sub in remove]) for add, remove in changes]


def test_what_stays_is_not_moved_and_what_is_new_goes_where_there_is_room() -> None:
    one, two, three, four, five = subs(5)

    changes = plan_changes(
        "f", [[one, two], [three]], [two, three, four, five], max_instruments=2, max_connections=3
    )

    assert keys(changes) == [([four.key], [one.key]), ([five.key], [])]


def test_more_than_fits_opens_another_connection_up_to_the_limit() -> None:
    one, two, three, four = subs(4)

    assert keys(plan_changes("f", [[one]], [one, two, three], max_instruments=1, max_connections=3)) == [
        ([], []),
        ([two.key], []),
        ([three.key], []),
    ]
    with pytest.raises(ConfigError, match="1 of 4 instruments have no room"):
        plan_changes("f", [[one]], [one, two, three, four], max_instruments=1, max_connections=3)


def test_an_instrument_that_is_subscribed_differently_stays_on_its_connection() -> None:
    one, two = subs(2)
    other = replace(one, session_class="always")

    assert plan_changes("f", [[one], [two]], [other, two], max_instruments=1, max_connections=2) == [
        ([other], []),
        ([], []),
    ]
