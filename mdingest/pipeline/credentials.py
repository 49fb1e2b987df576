"""The credentials of a provider that wants a person to log in every day.

Tokens may come from the configuration and from the file that ``mdingest login`` writes; the
newer one that has neither expired nor been refused is in force. What a person changes is
seen within two seconds, and goes on by itself. A refusal that the provider does not stand by
when it is asked may have been a passing fault: such a token is tried again now and then.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import aiohttp
import structlog

from mdingest.core.units import NS
from mdingest.errors import PermanentError
from mdingest.providers.base import Call, Token
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.health import Detail

log = structlog.get_logger()

AGAIN_S = 900.0  # until a token is tried again that was refused and is not known to be dead
_TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=5)
_DEAD = (401, 403)  # what the provider says of a token that is


@dataclass(frozen=True, slots=True)
class _Refusal:
    why: PermanentError
    until_s: float


class Credentials:
    """Which token of one provider is in force, and what is known of it.

    ``candidates`` gives what can be found now, best first; it may read files, and logs what
    it can't read. ``on_change`` hears of another token in force.
    """

    def __init__(
        self,
        feed: str,
        clock: Clock,
        *,
        candidates: Callable[[], Sequence[Token]],
        unusable: Callable[[Token | None], PermanentError],
        probe: Callable[[Token], Call],
        doubted: Callable[[PermanentError, int], PermanentError],
        on_change: Callable[[Token], None],
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.feed = feed
        self.token: Token | None = None
        self._clock = clock
        self._candidates = candidates
        self._unusable = unusable
        self._probe = probe
        self._doubted = doubted
        self._on_change = on_change
        self._now_s = now_s  # real
        self._refused: dict[str, _Refusal] = {}  # by the token itself

    def look(self) -> bool:
        """Look for tokens again. Whether there is one in force that was not before."""
        before = self.token if self.unfit() is None else None
        found = self._candidates()
        known, now_s = {token.secret.get_secret_value() for token in found}, self._now_s()
        self._refused = {
            secret: refusal
            for secret, refusal in self._refused.items()
            if secret in known and now_s < refusal.until_s
        }
        best = next((token for token in found if self._why_not(token) is None), None)
        had, self.token = self.token, best or (found[0] if found else None)
        if best is None or (before is not None and before.secret == best.secret):
            return False
        if had is not None:
            event = "credentials.tried_again" if had.secret == best.secret else "credentials.changed"
            log.info(event, feed=self.feed, source=best.source)
        self._on_change(best)
        return True

    def unfit(self) -> PermanentError | None:
        """Why to connect would be in vain, or None."""
        return self._unusable(None) if self.token is None else self._why_not(self.token)

    def expired(self) -> PermanentError | None:
        """The token in force died of age, or None."""
        return self.unfit() if self._state() == "expired" else None

    def forgive(self) -> None:
        """Refused tokens may be tried again: a person says that something has changed."""
        self._refused.clear()

    async def explain(self, refusal: PermanentError) -> PermanentError:
        """The other side refused the token in force: what is behind it. Never the token's text.

        Asks the provider once; without an answer the refusal stands as it is. Unless the
        answer is that the token is dead, it is tried again after `AGAIN_S`.
        """
        token = self.token
        if token is None or self._why_not(token) is not None:
            return refusal
        status = await _status(self._probe(token))
        why = refusal if status is None else self._doubted(refusal, status)
        until_s = float("inf") if status in _DEAD else self._now_s() + AGAIN_S
        self._refused[token.secret.get_secret_value()] = _Refusal(why, until_s)
        return why

    def detail(self) -> tuple[bool, Detail]:
        """For `Health`: state, source, expiry; never the token."""
        token, why = self.token, self.unfit()
        detail: dict[str, object] = {"state": self._state(), "source": token.source if token else None}
        if token is not None:
            detail |= {"made_at": _text(token.made_ns), "expires_at": _text(token.expires_ns)}
            if token.expires_ns is not None:
                detail["expires_in_s"] = round((token.expires_ns - self._clock.wall_ns()) / NS)
        if why is not None:
            detail |= {"error": why.reason, "what_to_do": why.todo}
        return why is None, detail

    def _state(self) -> str:
        if self.token is None:
            return "missing"
        if self.token.secret.get_secret_value() in self._refused:
            return "refused"
        return "valid" if self._why_not(self.token) is None else "expired"

    def _why_not(self, token: Token) -> PermanentError | None:
        refusal = self._refused.get(token.secret.get_secret_value())
        if refusal is not None:
            return refusal.why
        expired = token.expires_ns is not None and self._clock.wall_ns() >= token.expires_ns
        return self._unusable(token) if expired else None


async def _status(call: Call) -> int | None:
    """The status of the reply to a GET; None without one. No text of it is kept."""
    try:
        async with (
            aiohttp.ClientSession(timeout=_TIMEOUT) as session,
            session.get(call.url, headers=call.headers, allow_redirects=False) as reply,
        ):
            return reply.status
    except (aiohttp.ClientError, TimeoutError):
        return None


def _text(instant_ns: int | None) -> str | None:
    if instant_ns is None:
        return None
    return datetime.fromtimestamp(instant_ns // NS, UTC).isoformat().replace("+00:00", "Z")
