"""The page in a real browser, in front of a real daemon and the broker simulator.

All tests look at the same site; those that do it harm come last.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from mdingest.api import page
from tests.support.processes import Process, free_port, get, started, until, write_config

playwright_api = pytest.importorskip("playwright.async_api")

SYMBOLS = ("RELIANCE.NS", "TCS.NS")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
LIBRARY = Path(page.__file__).parent / "web/vendor/lightweight-charts.js"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PIXELS = """
() => {
  const counts = {up: 0, down: 0, band: 0, all: 0};
  const near = (d, i, r, g, b) => Math.abs(d[i] - r) + Math.abs(d[i + 1] - g) + Math.abs(d[i + 2] - b) < 18;
  for (const canvas of document.querySelectorAll("#chart canvas")) {
    if (!canvas.width || !canvas.height) continue;
    const d = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    for (let i = 0; i < d.length; i += 4) {
      if (!d[i + 3]) continue;
      counts.all += 1;
      if (near(d, i, 38, 166, 154) || near(d, i, 14, 143, 126)) counts.up += 1;
      else if (near(d, i, 239, 83, 80) || near(d, i, 217, 60, 57)) counts.down += 1;
      else if (near(d, i, 43, 37, 27)) counts.band += 1; // a seventh of amber over the dark ground
    }
  }
  return counts;
}
"""

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="not possible here: no Chromium is installed"),
    pytest.mark.skipif(
        not LIBRARY.exists(), reason="not possible here: `make chart` could not fetch the library"
    ),
    pytest.mark.timeout(120),
    pytest.mark.asyncio(loop_scope="module"),
]


@dataclass
class Site:
    """A daemon, the simulator it listens to, and the folder of both."""

    folder: Path
    url: str
    broker: int
    daemon: Process
    simulators: AsyncExitStack

    async def broker_dies(self) -> None:
        """As if the broker's data centre went dark."""
        await self.simulators.aclose()

    async def broker_returns(self) -> None:
        """It is back, at the same address."""
        self.simulators = AsyncExitStack()
        await self.simulators.enter_async_context(simulator(self.folder, self.broker))


@dataclass
class Seen:
    """What a page did besides drawing."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@asynccontextmanager
async def simulator(folder: Path, port: int) -> AsyncIterator[Process]:
    """``mdingest mock kite``, listening."""
    async with started(
        "mock",
        "kite",
        "--port",
        str(port),
        "--symbols",
        *SYMBOLS,
        "--rate",
        "4",
        log=folder / "mock.log",
        cwd=folder,
    ) as process:

        async def listens() -> bool:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return False
            writer.close()
            return True

        await until("simulator", listens, process)
        yield process


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    """Both processes, with a few candles stored."""
    tmp_path = tmp_path_factory.mktemp("site")
    broker, port = free_port(), free_port()
    config = write_config(
        tmp_path,
        simulator=f"ws://127.0.0.1:{broker}",
        instruments=f"http://127.0.0.1:{broker}/instruments",
        symbols=SYMBOLS,
        port=port,
    )
    url = f"http://127.0.0.1:{port}"
    async with AsyncExitStack() as stack:
        simulators = AsyncExitStack()
        await simulators.enter_async_context(simulator(tmp_path, broker))
        daemon = await stack.enter_async_context(
            started("run", "--config", config, log=tmp_path / "daemon.log", cwd=tmp_path)
        )
        site = Site(tmp_path, url, broker, daemon, simulators)

        async def has_candles() -> bool:
            status, document = await get(f"{url}/candles?symbol=TCS.NS&interval=1s")
            return status == 200 and len(document["candles"]) >= 3

        try:
            await until("candles", has_candles, daemon, within_s=60)
            yield site
        finally:
            await site.simulators.aclose()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    """Chromium without a window."""
    async with playwright_api.async_playwright() as playwright:
        running = await playwright.chromium.launch(executable_path=BROWSER, args=QUIET)
        yield running
        await running.close()


@asynccontextmanager
async def looking(
    browser: Any,  # noqa: ANN401 - playwright's
    url: str,
    *,
    width: int = 1280,
    height: int = 760,
    scheme: str = "dark",
) -> AsyncIterator[tuple[Any, Seen]]:
    """A page that has opened, in a profile of its own."""
    context = await browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    tab, seen = await context.new_page(), Seen()
    tab.on("console", lambda said: seen.errors.append(said.text) if said.type == "error" else None)
    tab.on("pageerror", lambda error: seen.errors.append(str(error)))
    tab.on("request", lambda request: seen.requests.append(request.url))
    await tab.goto(url)
    yield tab, seen
    await context.close()


async def soon(what: str, holds: Callable[[], Awaitable[Any]], within_s: float = 15) -> None:
    """Poll until it holds."""
    for _ in range(int(within_s / 0.1)):
        if await holds():
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"no {what} within {within_s} s")


async def text(tab: Any, selector: str) -> str:  # noqa: ANN401
    """What a person reads there."""
    return str(await tab.inner_text(selector))


async def true(tab: Any, expression: str) -> None:  # noqa: ANN401
    """Wait until it is. Playwright's own way needs ``eval``, which the page's policy forbids."""

    async def holds() -> Any:  # noqa: ANN401
        return await tab.evaluate(expression)

    await soon(expression, holds)


async def candles_counted(tab: Any) -> int:  # noqa: ANN401
    """How many the foot of the page says there are."""
    words = (await tab.text_content("#count")).split()
    return int(words[0]) if words else 0


async def pill(tab: Any, word: str) -> None:  # noqa: ANN401
    """Wait until the state of the feed reads so."""

    async def reads() -> bool:
        return await text(tab, "#feed") == word

    await soon(f"feed state {word!r}", reads, within_s=75)


async def drawn(tab: Any) -> dict[str, int]:  # noqa: ANN401
    """Pixels of the chart by colour, once there are candles."""

    async def coloured() -> bool:
        found = await tab.evaluate(PIXELS)
        return bool(found["up"] + found["down"] > 50)

    await soon("candles on the canvas", coloured)
    found: dict[str, int] = await tab.evaluate(PIXELS)
    return found


async def test_it_draws_grows_and_switches_without_a_word_to_anyone_else(site: Site, browser: Any) -> None:  # noqa: ANN401
    async with looking(browser, f"{site.url}/?symbol=RELIANCE.NS&interval=1s") as (tab, seen):
        pixels = await drawn(tab)
        assert pixels["all"] > 100_000
        await pill(tab, "live")
        assert (await text(tab, "#legend h1")).strip() == "RELIANCE.NS"

        before = await candles_counted(tab)

        async def grown() -> bool:
            return await candles_counted(tab) >= before + 3

        await soon("new candle", grown)

        await tab.keyboard.press("/")
        await tab.keyboard.type("tcs")
        await tab.keyboard.press("Enter")
        await true(tab, "document.querySelector('#legend h1').textContent === 'TCS.NS'")
        assert await tab.input_value("#symbol") == "TCS.NS"

        for interval in ("1m", "5m", "15m", "30m", "1h", "1d", "1s"):
            await tab.click(f"#intervals button:text-is('{interval}')")
            await true(tab, f"document.querySelector('#legend .where').textContent.startsWith('{interval} ')")
            await true(tab, "document.querySelector('#legend .row')?.textContent.startsWith('O')")
            assert f"interval={interval}" in tab.url
        await drawn(tab)

        assert await text(tab, "#zone") == "IST"
        await tab.click("#zone")
        assert await text(tab, "#zone") == "UTC"
        await tab.click("#feed")
        assert "kite_ws" in await text(tab, "#health")
        assert seen.errors == []
        assert [url for url in seen.requests if not url.startswith((site.url, "data:"))] == []


@pytest.mark.parametrize("scheme", ["dark", "light"])
async def test_it_follows_the_system_and_fits_a_phone(site: Site, browser: Any, scheme: str) -> None:  # noqa: ANN401
    async with looking(browser, site.url, width=320, height=568, scheme=scheme) as (tab, seen):
        await drawn(tab)
        assert await tab.evaluate("document.documentElement.dataset.theme") == scheme
        assert await tab.evaluate("document.documentElement.scrollWidth") == 320
        for selector in ("#symbol", "#feed", "#zone", "#theme", "#intervals button:last-child"):
            box = await tab.locator(selector).bounding_box()
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= 320, selector
            assert box["height"] >= 28

        await tab.click("#theme")
        other = {"dark": "light", "light": "dark"}[scheme]
        assert await tab.evaluate("document.documentElement.dataset.theme") == other
        await tab.reload()
        await drawn(tab)
        assert await tab.evaluate("document.documentElement.dataset.theme") == other
        assert seen.errors == []


async def test_without_the_chart_library_it_says_so_and_the_rest_works(site: Site, browser: Any) -> None:  # noqa: ANN401
    context = await browser.new_context()
    tab = await context.new_page()
    await tab.route("**/vendor/*", lambda route: route.fulfill(status=404, body=""))
    await tab.goto(f"{site.url}/?symbol=TCS.NS&interval=1s")

    await true(tab, "document.querySelector('#note').textContent.includes('chart library is missing')")
    assert "O" in await text(tab, "#legend .row")
    await pill(tab, "live")
    await context.close()


async def test_a_cut_feed_is_shown_with_its_reason_and_so_is_its_return(site: Site, browser: Any) -> None:  # noqa: ANN401
    async with looking(browser, f"{site.url}/?symbol=RELIANCE.NS&interval=1s") as (tab, seen):
        await drawn(tab)
        await pill(tab, "live")
        assert (await tab.evaluate(PIXELS))["band"] < 200

        await site.broker_dies()

        await pill(tab, "feed down")
        assert "kite_ws is down" in await text(tab, "#banner")
        await asyncio.sleep(5)  # a hole that the page can show: some seconds long
        await site.broker_returns()
        await pill(tab, "live")
        assert not await tab.is_visible("#banner")

        count = await candles_counted(tab)

        async def grown() -> bool:
            return await candles_counted(tab) > count + 2

        await soon("candle after the return", grown)
        _, document = await get(f"{site.url}/candles?symbol=RELIANCE.NS&interval=1s&limit=500")
        assert "disconnect" in {cause for _, _, cause in document["missing"]}

        async def marked() -> bool:
            return bool((await tab.evaluate(PIXELS))["band"] > 1_000)

        await soon("mark of what is missing", marked)
        assert "gap" in str(await tab.text_content("#count"))
        assert seen.errors == []


async def test_it_comes_back_by_itself_and_fetches_what_it_missed(site: Site, browser: Any) -> None:  # noqa: ANN401
    async with looking(browser, f"{site.url}/?symbol=RELIANCE.NS&interval=1s") as (tab, _):
        await drawn(tab)
        await pill(tab, "live")
        await tab.context.set_offline(True)
        await tab.evaluate("dispatchEvent(new Event('offline'))")
        assert await site.daemon.stopped() == 0
        await pill(tab, "offline")
        assert "No connection to mdingest" in await text(tab, "#banner")

        async with started(
            "run", "--config", site.folder / "config.yaml", log=site.folder / "daemon.log", cwd=site.folder
        ) as again:

            async def has_more() -> bool:
                status, document = await get(f"{site.url}/candles?symbol=RELIANCE.NS&interval=1s&limit=1000")
                return status == 200 and document["candles"][-1]["ts_utc"] > document["missing"][-1][1]

            await until("candles after the restart", has_more, again, within_s=60)
            await tab.context.set_offline(False)
            await pill(tab, "live")

            async def same() -> bool:
                _, document = await get(f"{site.url}/candles?symbol=RELIANCE.NS&interval=1s&limit=1000")
                return await candles_counted(tab) >= len(document["candles"])

            await soon("candles that were missed", same)
