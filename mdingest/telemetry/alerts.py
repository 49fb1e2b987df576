"""One POST when something needs a person, and one when it is over.

What is watched is looked at once a second; a state counts when it was seen twice in a row, so
that nothing is told that mended itself at once. Each change is told once, in order, from a
bounded queue that nobody waits for; an address that does not answer is tried again, later
each time. Nothing of the address, which is a secret, gets into the log.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import structlog

from mdingest.core.units import NS
from mdingest.telemetry.health import Detail
from mdingest.telemetry.logging import mask

log = structlog.get_logger()

LOOK_S = 1.0
MOST_WAITING = 64
MOST_ATTEMPTS = 12  # with waits of up to a minute: about five minutes
_TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=5)
_WORTH_RETRYING = frozenset({408, 425, 429})
_CLIENT_ERRORS = range(400, 500)
_ERRORS = 400


@dataclass(frozen=True, slots=True)
class Condition:
    """How one thing is doing now. ``what`` names it: its changes are told, each once.

    ``well`` None: neither well nor ill, so nothing changed. ``since_ns`` is UTC, 0 for now.
    """

    what: str  # feed, disk, database, backfill
    state: str  # parked, live, low, ok, away, back, failed ...
    well: bool | None
    reason: str = ""
    todo: str = ""
    feed: str = ""
    since_ns: int = 0

    @property
    def key(self) -> tuple[str, str]:
        """What two conditions of the same thing have in common."""
        return self.what, self.feed


class Alerts:
    """Tells changes to a webhook. `run` in a task; cancelling drops what waits.

    ``url`` None: changes are seen and told nobody. ``waits`` makes the seconds between attempts.
    """

    def __init__(
        self,
        url: str | None,
        now_ns: Callable[[], int],
        waits: Callable[[], Iterator[float]],
        *,
        look_s: float = LOOK_S,
    ) -> None:
        self.url = url
        self.sent = 0
        self.dropped = 0
        self._now_ns = now_ns
        self._waits = waits
        self._look_s = look_s
        self._error = ""
        self._told: dict[tuple[str, str], bool] = {}
        self._seen: dict[tuple[str, str], bool] = {}
        self._waiting: deque[dict[str, str]] = deque()
        self._there_is = asyncio.Event()

    def note(self, condition: Condition) -> None:
        """Something happened that is told at once if it is a change: a backfill failed, or did not."""
        if condition.well is None or self._told.get(condition.key, True) == condition.well:
            return
        self._told[condition.key] = condition.well
        if self.url is None:
            return
        if len(self._waiting) >= MOST_WAITING:
            self._waiting.popleft()
            self.dropped += 1
            log.warning("alert.dropped", waiting=MOST_WAITING)
        self._waiting.append(self._body(condition))
        self._there_is.set()

    def look(self, conditions: Iterable[Condition]) -> None:
        """See how things are now; what is the same as at the last look is noted."""
        for condition in conditions:
            if condition.well is None:
                self._seen.pop(condition.key, None)
                continue
            if self._seen.get(condition.key) == condition.well:
                self.note(condition)
            self._seen[condition.key] = condition.well

    def detail(self) -> tuple[bool, Detail]:
        """For `Health`. A webhook that fails does not make the process unwell."""
        detail = {
            "webhook": "set" if self.url is not None else "not set",
            "sent": self.sent,
            "waiting": len(self._waiting),
            "dropped": self.dropped,
        }
        return True, detail | ({"error": self._error} if self._error else {})

    async def run(self, conditions: Callable[[], Iterable[Condition]]) -> None:
        """Look and tell until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch(conditions), name="alerts.watch")
            group.create_task(self._send_all(), name="alerts.send")

    async def _watch(self, conditions: Callable[[], Iterable[Condition]]) -> None:
        while True:
            self.look(conditions())
            await asyncio.sleep(self._look_s)

    async def _send_all(self) -> None:
        async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
            while True:
                await self._there_is.wait()
                while self._waiting:
                    await self._send(session, self._waiting[0])
                self._there_is.clear()

    async def _send(self, session: aiohttp.ClientSession, body: dict[str, str]) -> None:
        waits = self._waits()
        for attempt in range(1, MOST_ATTEMPTS + 1):
            error, again = await self._post(session, body)
            if not error:
                self.sent += 1
                self._error = ""
                self._done(body)
                return
            self._error = error
            if not again or attempt == MOST_ATTEMPTS:
                break
            wait_s = next(waits)
            log.warning("alert.retry_scheduled", delay_s=round(wait_s, 3), error=error)
            await asyncio.sleep(wait_s)
        self.dropped += 1
        log.error("alert.not_sent", what=body["what"], state=body["state"], error=error)
        self._done(body)

    def _done(self, body: dict[str, str]) -> None:
        if self._waiting and self._waiting[0] is body:  # it may have been pushed out meanwhile
            self._waiting.popleft()

    async def _post(self, session: aiohttp.ClientSession, body: dict[str, str]) -> tuple[str, bool]:
        """What went wrong, or nothing; and whether it may go better later."""
        if self.url is None:
            return "", False
        try:
            async with session.post(self.url, json=body) as reply:
                status = reply.status
        except (aiohttp.InvalidURL, ValueError):
            return "the webhook's address can't be used", False
        except (aiohttp.ClientError, OSError) as exc:  # a TimeoutError is an OSError
            return f"the webhook can't be reached ({type(exc).__name__})", True
        if status < _ERRORS:
            return "", False
        return f"the webhook answered {status}", status in _WORTH_RETRYING or status not in _CLIENT_ERRORS

    def _body(self, condition: Condition) -> dict[str, str]:
        since = datetime.fromtimestamp((condition.since_ns or self._now_ns()) // NS, UTC)
        headline = f"mdingest: {condition.what} {condition.feed}".strip() + f" is {condition.state}"
        reason, todo = mask(condition.reason), mask(condition.todo)
        return {
            "what": condition.what,
            "feed": condition.feed,
            "state": condition.state,
            "since": since.isoformat().replace("+00:00", "Z"),
            "reason": reason,
            "what_to_do": todo,
            "host": socket.gethostname(),
            "text": ". ".join(part for part in (headline, reason, "" if todo in reason else todo) if part),
        }
