"""The broker's login: a page that hands out request tokens, and what they are exchanged for.

Kite's own page asks a person for password and code; this one lets everybody in and sends the
browser on at once. A request token works once, for a few minutes, and only with the checksum
that proves the app's secret. A new session ends the one before it.
"""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple
from urllib.parse import urlencode

from mdingest.simulators.trades import S

REDIRECT = "http://127.0.0.1/"
"""The app's redirect address: nothing need be there, a person wants it for its query only."""

_REQUEST_NS = 300 * S
_MOST_REQUESTS = 100  # handed out and not yet exchanged
_IST = timezone(timedelta(hours=5, minutes=30))
_USER = "SIM001"
_EXCHANGES = ["NSE", "NFO", "CDS", "BSE", "BFO", "BCD", "MCX"]


class _Request(NamedTuple):
    api_key: str
    until_ns: int


class NotGranted(Exception):
    """The broker's words on why there is no session."""


class Sessions:
    """Request tokens and access tokens of every app that logs in here."""

    def __init__(self, api_secret: str, now_ns: Callable[[], int], end: Callable[[str], None]) -> None:
        """``end`` is told each access token that is good no more."""
        self._api_secret = api_secret
        self._now_ns = now_ns
        self._end = end
        self._requests: dict[str, _Request] = {}
        self._granted: dict[str, str] = {}  # access token by api key

    def login(self, api_key: str) -> str:
        """Where the browser is sent to after a login."""
        token = secrets.token_hex(16)
        self._requests[token] = _Request(api_key, self._now_ns() + _REQUEST_NS)
        while len(self._requests) > _MOST_REQUESTS:
            del self._requests[next(iter(self._requests))]
        query = {"action": "login", "type": "login", "status": "success", "request_token": token}
        return f"{REDIRECT}?{urlencode(query)}"

    def exchange(self, form: Mapping[str, str]) -> dict[str, Any]:
        """A session for a request token. Raises NotGranted; a token that came this far is used up."""
        absent = [name for name in ("api_key", "request_token", "checksum") if not form.get(name)]
        if absent:
            raise NotGranted(f"Missing `{absent[0]}`.")
        api_key, token = form["api_key"], form["request_token"]
        request = self._requests.pop(token, None)
        if request is None or request.api_key != api_key or request.until_ns <= self._now_ns():
            raise NotGranted("Token is invalid or has expired.")
        signed = hashlib.sha256(f"{api_key}{token}{self._api_secret}".encode()).hexdigest()
        if not hmac.compare_digest(signed.encode(), form["checksum"].encode()):
            raise NotGranted("Invalid `checksum`.")
        self.logout(api_key, self._granted.get(api_key, ""))
        self._granted[api_key] = secrets.token_hex(16)
        made = datetime.fromtimestamp(self._now_ns() // S, UTC).astimezone(_IST)
        return {
            **profile(),
            "api_key": api_key,
            "access_token": self._granted[api_key],
            "public_token": secrets.token_hex(16),
            "refresh_token": "",
            "login_time": f"{made:%Y-%m-%d %H:%M:%S}",
        }

    def logout(self, api_key: str, access_token: str) -> None:
        """End a session, if it is one."""
        if access_token and self._granted.get(api_key) == access_token:
            del self._granted[api_key]
            self._end(access_token)


def profile() -> dict[str, Any]:
    """Whom every app trades for."""
    return {
        "user_id": _USER,
        "user_name": "Simulated Trader",
        "user_shortname": "Simulated",
        "email": "trader@example.com",
        "user_type": "individual",
        "broker": "ZERODHA",
        "exchanges": _EXCHANGES,
        "products": ["CNC", "NRML", "MIS"],
        "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
        "avatar_url": None,
        "meta": {"demat_consent": "physical"},
    }
