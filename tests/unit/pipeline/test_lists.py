"""A provider's instrument list: local, fetched, or the copy of another day."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from mdingest.errors import PermanentError, TransientError
from mdingest.pipeline.lists import cache_of, instrument_list
from tests.support.disks import fill, small_disk


class Vendor:
    """Serves a list, or whatever else it is told to."""

    status = 200
    text = "instrument_token,tradingsymbol\n1,AAA\n"
    url = ""

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status, text=self.text)


@pytest.fixture
async def vendor() -> AsyncIterator[Vendor]:
    one = Vendor()
    app = web.Application()
    app.router.add_get("/instruments", one.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/instruments"
    yield one
    await runner.cleanup()


async def test_a_local_file_is_used_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "instruments.csv"
    file.touch()
    assert await instrument_list(str(file), tmp_path / "cache") == file
    with pytest.raises(PermanentError, match="no instrument list at"):
        await instrument_list(str(tmp_path / "absent.csv"), tmp_path / "cache")


async def test_the_list_of_one_address_never_stands_for_that_of_another(
    tmp_path: Path, vendor: Vendor
) -> None:
    real = "http://127.0.0.1:9/instruments"
    await instrument_list(vendor.url, cache_of(tmp_path, "kite_ws.csv", vendor.url))

    with pytest.raises(TransientError):
        await instrument_list(real, cache_of(tmp_path, "kite_ws.csv", real))
    assert cache_of(tmp_path, "kite_ws.csv", real) == cache_of(tmp_path, "kite_ws.csv", real)


@pytest.mark.parametrize(
    ("name", "pattern"),
    [("kite_ws.csv", r"kite_ws-[0-9a-f]{8}\.csv"), ("upstox.json.gz", r"upstox-[0-9a-f]{8}\.json\.gz")],
)
def test_a_kept_list_has_a_readable_name(tmp_path: Path, name: str, pattern: str) -> None:
    assert re.fullmatch(pattern, cache_of(tmp_path, name, "https://h/list").name)


async def test_a_list_is_fetched_anew_each_time(tmp_path: Path, vendor: Vendor) -> None:
    cache = tmp_path / "deep" / "kite.csv"
    assert (await instrument_list(vendor.url, cache)).read_text() == vendor.text
    vendor.text = "another day"
    assert (await instrument_list(vendor.url, cache)).read_text() == "another day"
    assert [path.name for path in cache.parent.iterdir()] == ["kite.csv"]


async def test_several_may_fetch_one_list_at_once_and_a_killed_one_leaves_nothing_for_ever(
    tmp_path: Path, vendor: Vendor
) -> None:
    cache = tmp_path / "kite.csv"
    killed = tmp_path / ".kite.csv.7.0.new"
    killed.touch()
    os.utime(killed, (0, 0))
    vendor.text = "1,AAA\n" * 50_000  # several pieces

    found = await asyncio.gather(*(instrument_list(vendor.url, cache) for _ in range(4)))

    assert {path.read_text() for path in found} == {vendor.text}
    assert os.listdir(tmp_path) == ["kite.csv"]  # noqa: PTH208


@pytest.mark.parametrize(
    ("status", "text", "said"),
    [
        (429, "sorry", "429"),
        (500, "sorry", "500"),
        (503, "sorry", "503"),
        (200, "\n <!doctype html><title>Maintenance</title>", "a web page instead of a list"),
        (200, "", "nothing instead of a list"),
    ],
)
async def test_a_vendor_in_trouble_leaves_the_old_copy_in_use(
    tmp_path: Path, vendor: Vendor, status: int, text: str, said: str
) -> None:
    cache = tmp_path / "kite.csv"
    await instrument_list(vendor.url, cache)
    vendor.status, vendor.text = status, text
    assert (await instrument_list(vendor.url, cache)).read_text() == Vendor.text
    cache.unlink()
    with pytest.raises(TransientError, match=said):
        await instrument_list(vendor.url, cache)


async def test_a_wrong_address_is_said_at_once_even_with_an_old_copy(tmp_path: Path, vendor: Vendor) -> None:
    cache = tmp_path / "kite.csv"
    await instrument_list(vendor.url, cache)
    with pytest.raises(PermanentError, match="404"):
        await instrument_list(vendor.url + "/nothing", cache)
    assert cache.read_text() == Vendor.text


async def test_a_disk_that_takes_no_list_leaves_the_old_copy_in_use(tmp_path: Path, vendor: Vendor) -> None:
    with small_disk(tmp_path / "disk", 1 << 20) as disk:
        cache = disk / "kite.csv"
        await instrument_list(vendor.url, cache)
        fill(disk / "others")
        vendor.text = "x" * (1 << 20)
        assert (await instrument_list(vendor.url, cache)).read_text() == Vendor.text
        cache.unlink()
        with pytest.raises(TransientError, match="can't be written: No space left"):
            await instrument_list(vendor.url, cache)


async def test_nobody_at_the_address_is_a_reason_to_try_later(tmp_path: Path) -> None:
    with pytest.raises(TransientError, match="can't be fetched"):
        await instrument_list("http://127.0.0.1:9/instruments", tmp_path / "kite.csv")
