"""What one Kite connection says and hears. No socket here, and nothing secret leaves but `url`."""

import json
from collections.abc import Iterator, Sequence
from urllib.parse import urlencode

from mdingest.core.control import Subscription
from mdingest.core.units import NS
from mdingest.errors import MdingestError, PermanentError, TransientError, Unauthorized
from mdingest.providers.base import Heard
from mdingest.providers.kite.codec import newest_stamp
from mdingest.providers.kite.login import LOG_IN, SUBSCRIBE, KiteAccess
from mdingest.providers.kite.options import KiteOptions

_TOKENS_A_MESSAGE = 200  # no limit is documented; this size is in wide use
_TEXT_LIMIT = 200
_FORBIDDEN = 403
_WORTH_RETRYING = frozenset({408, 425, 429})
_CLIENT_ERRORS = range(400, 500)
_SMALLEST_DATA = 12  # bytes of a frame with one packet of the shortest kind
_DATA, _BEAT = Heard(data=True), Heard()


class KiteLive:
    """Implements `LiveProtocol`."""

    feed = "kite_ws"
    resolution_ns = NS
    silence_s = 8.0  # the server beats every second or two, at any hour
    spacing_s = 0.0
    answers = True
    max_instruments = 3000
    max_connections = 3

    def __init__(self, options: KiteOptions) -> None:
        self._options = options

    def url(self, subs: Sequence[Subscription]) -> str:  # noqa: ARG002 - the same for all
        """The address with the credentials, which Kite takes from the query only.

        Raises Unauthorized where there is no token.
        """
        token = self._options.access_token
        if token is None:
            raise KiteAccess().unusable(None)
        query = urlencode(
            {"api_key": self._options.api_key.get_secret_value(), "access_token": token.get_secret_value()}
        )
        return f"{self._options.url}/?{query}"

    def headers(self) -> dict[str, str]:
        """As the official clients send them."""
        return {"X-Kite-Version": "3"}

    def greeting(self, subs: Sequence[Subscription]) -> list[str | bytes]:
        """Subscribe, then the mode (what a bare subscribe means is not documented), in portions."""
        messages: list[str | bytes] = []
        for tokens in _portions(subs):
            messages.append(_message("subscribe", tokens))
            messages.append(_message("mode", [self._options.mode, tokens]))
        return messages

    def farewell(self, subs: Sequence[Subscription]) -> list[str | bytes]:
        """Unsubscribe, in portions."""
        return [_message("unsubscribe", tokens) for tokens in _portions(subs)]

    def receive(self, frame: str | bytes) -> Heard:
        """Binary is kept, heartbeats too; no text is: it holds no market data, but may hold orders."""
        if isinstance(frame, bytes):
            return _DATA if len(frame) >= _SMALLEST_DATA else _BEAT
        try:
            message = json.loads(frame)
        except (ValueError, RecursionError):
            return Heard(journal=False, note=f"text of {len(frame)} characters that is not JSON")
        kind, data = (message.get("type"), message.get("data")) if isinstance(message, dict) else (None, None)
        if kind == "order":
            return Heard(journal=False)
        if kind in ("error", "message"):
            return Heard(journal=False, note=f"{kind}: {self._shown(data)}")
        return Heard(journal=False, note=f"text of an unknown type {self._shown(kind)}")

    def stamp_ns(self, frame: str | bytes) -> int:
        """Only packets of mode ``full`` have one."""
        return newest_stamp(frame) * NS if isinstance(frame, bytes) else 0

    def refused(self, status: int, body: str) -> MdingestError:
        """403 needs a person; being asked to wait, and trouble on the server's side, do not."""
        said = f"Kite refused the connection with HTTP {status}{self._reason(body)}"
        if status == _FORBIDDEN:
            return Unauthorized(
                f"{said}. The access token has expired (each dies by 06:00 IST the next day) or belongs to "
                "another api_key; or the app has no market data: the free Connect plan does not include it",
                f"{LOG_IN}. If it is today's: {SUBSCRIBE[0].lower()}{SUBSCRIBE[1:]}",
            )
        if status in _CLIENT_ERRORS and status not in _WORTH_RETRYING:
            return PermanentError(f"{said}. Check providers.kite_ws.url")
        return TransientError(said)

    def _reason(self, body: str) -> str:
        try:
            message = json.loads(body)
        except (ValueError, RecursionError):
            return ""
        said = message.get("message") if isinstance(message, dict) else None
        return f" ({self._shown(said)})" if isinstance(said, str) else ""

    def _shown(self, value: object) -> str:
        """A peer's words for the log: one short line, without our secrets."""
        text = str(value)
        for secret in (self._options.access_token, self._options.api_key, self._options.api_secret):
            if secret is not None:
                text = text.replace(secret.get_secret_value(), "***")
        return " ".join(text.split())[:_TEXT_LIMIT]


def _portions(subs: Sequence[Subscription]) -> Iterator[list[int]]:
    """Tokens as integers: as text they bring no error, and no data either."""
    for begin in range(0, len(subs), _TOKENS_A_MESSAGE):
        yield [int(sub.key) for sub in subs[begin : begin + _TOKENS_A_MESSAGE]]


def _message(action: str, value: Sequence[object]) -> str:
    return json.dumps({"a": action, "v": value})
