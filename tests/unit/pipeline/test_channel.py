import asyncio
from collections.abc import Awaitable

import pytest

from mdingest.pipeline.channel import Channel, ChannelClosed


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_items_come_out_in_order_and_then_it_ends() -> None:
    channel: Channel[int] = Channel(3)
    for item in (1, 2, 3):
        await channel.put(item)
    channel.close()
    assert [await channel.get() for _ in range(3)] == [1, 2, 3]
    with pytest.raises(ChannelClosed):
        await channel.get()


async def test_a_full_channel_makes_put_wait() -> None:
    channel: Channel[int] = Channel(1)
    await channel.put(1)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(channel.put(3))
        await settle()
        assert not waiting.done()
        assert channel.depth == 1
        assert await channel.get() == 1
    assert await channel.get() == 3


async def test_closing_wakes_all_who_wait_for_an_item() -> None:
    empty: Channel[int] = Channel(1)

    async def ends(call: Awaitable[int]) -> None:
        with pytest.raises(ChannelClosed):
            await call

    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(ends(empty.get()))
        await settle()
        empty.close()
    with pytest.raises(ChannelClosed):
        await empty.put(3)
    assert empty.depth == 0


async def test_a_full_channel_can_be_closed_and_still_be_drained() -> None:
    full: Channel[int] = Channel(1)
    await full.put(1)
    full.close()
    full.close()
    assert full.depth == 1
    assert await full.get() == 1
    for _ in range(2):
        with pytest.raises(ChannelClosed):
            await full.get()


async def test_a_cancelled_get_takes_nothing_and_passes_its_turn_on() -> None:
    channel: Channel[int] = Channel(1)
    first, second = asyncio.ensure_future(channel.get()), asyncio.ensure_future(channel.get())
    await settle()
    await channel.put(7)  # wakes the first, which is cancelled before it runs
    first.cancel()
    async with asyncio.timeout(5):
        assert await second == 7
    assert first.cancelled() or first.cancelling()


async def test_a_cancelled_put_puts_nothing_and_passes_its_turn_on() -> None:
    channel: Channel[int] = Channel(1)
    await channel.put(0)
    first, second = asyncio.ensure_future(channel.put(1)), asyncio.ensure_future(channel.put(2))
    await settle()
    assert await channel.get() == 0
    first.cancel()
    async with asyncio.timeout(5):
        await second
        assert await channel.get() == 2
    assert channel.depth == 0


async def test_many_putters_and_takers_lose_and_repeat_nothing() -> None:
    channel: Channel[int] = Channel(3)
    taken: list[int] = []

    async def take() -> None:
        while True:
            try:
                taken.append(await channel.get())
            except ChannelClosed:
                return

    async with asyncio.timeout(10), asyncio.TaskGroup() as takers:
        for _ in range(4):
            takers.create_task(take())
        async with asyncio.TaskGroup() as putters:
            for start in range(0, 400, 100):

                async def put(start: int = start) -> None:
                    for item in range(start, start + 100):
                        await channel.put(item)

                putters.create_task(put())
        channel.close()
    assert sorted(taken) == list(range(400))
