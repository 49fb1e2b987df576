"""The credentials of a provider that wants a person to log in every day.

Tokens may come from the configuration and from the file that ``mdingest login`` writes; the
newer one that has neither expired nor been refused is in force. What a person changes is
seen within two seconds, and goes on by itself.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import aiohttp
import structlog

from mdingest.errors import PermanentError
from mdingest.providers.base import Call, Token
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.health import Detail

log = structlog.get_logger()

_TIMEOUT = aiohttp.ClientTimeout(total=10, sock_connect=5)
_NS = 1_000_000_000


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
    ) -> None:
        self.feed = feed
        self.token: Token | None = None
        self._clock = clock
        self._candidates = candidates
        self._unusable = unusable
        self._probe = probe
        self._doubted = doubted
        self._on_change = on_change
        self._refused: dict[str, PermanentError] = {}  # by the token itself

    def look(self) -> bool:
        """Look for tokens again. Whether there is one in force that was not before."""
        before = self.token if self.unfit() is None else None
        found = self._candidates()
        known = {token.secret.get_secret_value() for token in found}
        self._refused = {secret: why for secret, why in self._refused.items() if secret in known}
        best = next((token for token in found if self._why_not(token) is None), None)
        had_one, self.token = self.token is not None, best or (found[0] if found else None)
        if best is None or (before is not None and before.secret == best.secret):
            return False
        if had_one:
            log.info("credentials.changed", feed=self.feed, source=best.source)
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

        Asks the provider once; without an answer the refusal stands as it is.
        """
        token = self.token
        if token is None or self._why_not(token) is not None:
            return refusal
        status = await _status(self._probe(token))
        why = refusal if status is None else self._doubted(refusal, status)
        self._refused[token.secret.get_secret_value()] = why
        return why

    def detail(self) -> tuple[bool, Detail]:
        """For `Health`: state, source, expiry; never the token."""
        token, why = self.token, self.unfit()
        detail: dict[str, object] = {"state": self._state(), "source": token.source if token else None}
        if token is not None:
            detail |= {"made_at": _text(token.made_ns), "expires_at": _text(token.expires_ns)}
            if token.expires_ns is not None:
                detail["expires_in_s"] = round((token.expires_ns - self._clock.wall_ns()) / _NS)
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
        why = self._refused.get(token.secret.get_secret_value())
        if why is None and token.expires_ns is not None and self._clock.wall_ns() >= token.expires_ns:
            return self._unusable(token)
        return why


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
    return datetime.fromtimestamp(instant_ns // _NS, UTC).isoformat().replace("+00:00", "Z")
