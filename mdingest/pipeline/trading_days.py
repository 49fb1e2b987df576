"""Keeps the calendars up to date from a public list of holidays and timings of the days ahead, once a day."""

import asyncio
import datetime as dt
import os
from collections.abc import Callable, Collection
from pathlib import Path

import structlog

from mdingest.calendars import Calendars, check_rows
from mdingest.calendars.timings import kept, learnt
from mdingest.calendars.upstox import Change, as_file, changes, spoken_of
from mdingest.core.session import SECOND_NS
from mdingest.errors import ConfigError, TransientError
from mdingest.telemetry.clock import Clock

log = structlog.get_logger()

_FRESH_S = 20 * 3_600.0
_AGAIN_S = 3_600.0  # after a failure
_PATH = "/v2/market/holidays"
_TIMINGS = "/v2/market/timings"
_DAYS_AHEAD = 7  # today with them, a request each
_REMEMBERED = dt.timedelta(days=400)
_INDIA = "NSE.EQ.noncas"  # a class whose dates are those of the country
_OK = 200
_MAX_BYTES = 4 << 20


class TradingDays:
    """``known`` makes the calendars without what is fetched, ``path`` is where its corrections are kept.

    What the list and the timings say becomes a calendar file. A reply with anything wrong in it
    changes nothing; a day that changes is logged, one that loses its sessions as a warning.
    """

    def __init__(
        self,
        url: str,
        path: Path,
        clock: Clock,
        *,
        known: Callable[[], Calendars],
        changed: Callable[[], None],
    ) -> None:
        """``changed`` is called after the file says something else than before."""
        self._url = url
        self._path = path
        self._clock = clock
        self._known = known
        self._changed = changed

    async def run(self) -> None:
        """At once if the file is old, then each day, until cancelled."""
        while True:
            wait = _FRESH_S - await asyncio.to_thread(self._age_s)
            if wait > 0:
                await asyncio.sleep(wait)
                continue
            try:
                await self.renew()
            except (TransientError, ConfigError, OSError) as exc:
                log.warning("calendar.not_renewed", url=self._url, error=str(exc))
                await asyncio.sleep(_AGAIN_S)

    async def renew(self) -> list[Change]:
        """Fetch the list once, then the timings, and take what they say.

        Raises TransientError or OSError: nothing changed. Without timings the list alone is taken,
        and what they said before stays.
        """
        document = await self._fetch(_PATH)
        known = self._known()
        try:
            found = await asyncio.to_thread(changes, document, known)
        except TransientError as exc:
            raise TransientError(f"{self._url}{_PATH}: {exc}; nothing of it was taken") from exc
        spoken = spoken_of(document)
        asked, timed = await self._timed(known, spoken)
        found += timed
        before = await asyncio.to_thread(self._rows)
        now = dt.datetime.fromtimestamp(self._clock.wall_ns() // SECOND_NS, dt.UTC)
        still = kept(before, (now - _REMEMBERED).date(), self._today(known), asked, spoken)
        rows = [change.row for change in found]
        rows += [row for row in still if row not in rows]
        text = as_file(rows, self._url, now)
        try:
            check_rows("list", text)
        except ConfigError as exc:
            raise TransientError(f"{self._url}{_PATH}: {exc}; nothing of it was taken") from exc
        await asyncio.to_thread(self._write, text)
        if set(before) != set(rows):
            for change in found:
                if change.row not in before:
                    say = log.warning if change.closes else log.info
                    say(
                        "calendar.day_changed",
                        scope=change.scope,
                        date=str(change.date),
                        was=change.was,
                        now=change.now,
                    )
            self._changed()
        return found

    async def _timed(
        self, known: Calendars, spoken: Collection[tuple[str, dt.date]]
    ) -> tuple[list[dt.date], list[Change]]:
        """Dates whose timings could be had, and what they change."""
        today = self._today(known)
        documents: dict[dt.date, object] = {}
        try:
            for date in (today + dt.timedelta(days=n) for n in range(_DAYS_AHEAD)):
                documents[date] = await self._fetch(f"{_TIMINGS}/{date}")
            timed, doubts = await asyncio.to_thread(learnt, documents, known, spoken)
        except TransientError as exc:
            log.warning("calendar.no_timings", url=f"{self._url}{_TIMINGS}", error=str(exc))
            return [], []
        for doubt in doubts:
            log.warning(
                "calendar.timings_doubted", why=doubt, todo="if they are right, say so in calendar.file"
            )
        return list(documents), timed

    def _today(self, known: Calendars) -> dt.date:
        return dt.datetime.fromtimestamp(self._clock.wall_ns() // SECOND_NS, known.zone(_INDIA)).date()

    async def _fetch(self, path: str) -> object:
        import aiohttp
        import orjson

        timeout = aiohttp.ClientTimeout(total=30, sock_connect=10)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers={"Accept": "application/json"}) as session,
                session.get(f"{self._url}{path}") as reply,
            ):
                if reply.status != _OK:
                    raise TransientError(f"{self._url}{path} answered HTTP {reply.status}")
                body = bytearray()
                async for piece in reply.content.iter_any():  # a read may return a part
                    body += piece
                    if len(body) > _MAX_BYTES:
                        raise TransientError(f"{self._url}{path}: more than {_MAX_BYTES >> 20} MiB")
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise TransientError(f"{self._url}{path}: {type(exc).__name__}") from exc
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise TransientError(f"{self._url}{path} answered with no JSON") from exc

    def _age_s(self) -> float:
        try:
            age = self._clock.wall_ns() / SECOND_NS - self._path.stat().st_mtime
        except OSError:
            return _FRESH_S
        return _FRESH_S if age < 0 else age

    def _rows(self) -> list[str]:
        """Those of the file, less what a damaged one may hold."""
        try:
            text = self._path.read_text(encoding="utf-8")
            check_rows("list", text)
        except (OSError, UnicodeDecodeError, ConfigError):
            return []
        return text.splitlines()[2:]

    def _write(self, text: str) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            temporary.write_text(text, encoding="utf-8")
            now = self._clock.wall_ns()
            os.utime(temporary, ns=(now, now))  # its age is measured by the same clock
            temporary.replace(self._path)
        finally:
            temporary.unlink(missing_ok=True)
