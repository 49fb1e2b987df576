"""The way to today's access token: a page, what it sends back, a signed call, a file.

There is no way round a person: Kite wants a login each day. After it the browser is sent to
the app's redirect address with ``request_token=...``, which works once and for a few minutes.
Sources: kite.trade/docs/connect/v3/user and pykiteconnect 5.2.2, read 2026-11-22.
"""

import hashlib
import json
import re
from datetime import UTC, datetime, time, timedelta, timezone
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

from pydantic import SecretStr

from mdingest.core.units import NS
from mdingest.errors import ConfigError, PermanentError, TransientError, Unauthorized
from mdingest.providers.base import Call, Token
from mdingest.providers.kite.options import KiteOptions

_IST = timezone(timedelta(hours=5, minutes=30))
_DIES = time(6, 0)  # IST; observed to fail from 05:20 on, and by 06:35 at the latest
_OK, _FORBIDDEN, _BUSY = 200, 403, 429
_SERVER_ERRORS = range(500, 600)
_REQUEST_TOKEN = re.compile(r"[A-Za-z0-9_-]{4,128}")
_VERSION = {"X-Kite-Version": "3"}
_TEXT_LIMIT = 200

LOG_IN = (
    "Run `mdingest login kite`, or put today's token into providers.kite_ws.access_token; "
    "it is then taken by itself"
)
SUBSCRIBE = "Give the app market data (its plan at developers.kite.trade), then send SIGHUP or restart"


def expiry(made_ns: int) -> int:
    """When a token made at this instant is dead: the next 06:00 IST. Both UTC ns."""
    made = datetime.fromtimestamp(made_ns // NS, _IST)
    dies = datetime.combine(made.date(), _DIES, _IST)
    if dies <= made:
        dies += timedelta(days=1)
    return int(dies.timestamp()) * NS


def checksum(api_key: str, request_token: str, api_secret: str) -> str:
    """How Kite wants a request signed: SHA-256 of the three, one after another, in hex."""
    return hashlib.sha256(f"{api_key}{request_token}{api_secret}".encode()).hexdigest()


def request_token_of(pasted: str) -> str:
    """The request token in what a person pasted: itself, or the whole address it came in.

    Raises ConfigError, which does not repeat the text.
    """
    text = pasted.strip()
    if "request_token=" in text:
        query = urlsplit(text).query or text.partition("?")[2] or text
        given = parse_qs(query)
        if given.get("status", ["success"]) != ["success"]:
            raise ConfigError("the login did not succeed: the address says so itself; log in again")
        text = given.get("request_token", [""])[0]
    if not _REQUEST_TOKEN.fullmatch(text):
        raise ConfigError(
            "that is no request token: paste the whole address the browser was sent to after the login, "
            "or what stands behind request_token= in it"
        )
    return text


class KiteAccess:
    """Implements `Access`."""

    name = "kite"
    secrets: tuple[str, ...] = ("api_key", "api_secret", "access_token")

    def given(self, options: KiteOptions) -> SecretStr | None:
        """See `Access.given`."""
        return options.access_token

    def file(self, options: KiteOptions) -> Path | None:
        """See `Access.file`."""
        return options.access_token_file

    def using(self, options: KiteOptions, token: SecretStr | None) -> KiteOptions:
        """See `Access.using`."""
        return options.model_copy(update={"access_token": token})

    def address(self, options: KiteOptions) -> str:
        """See `Access.address`. The api key is no secret: every browser shows it."""
        return f"{options.login_page}?{urlencode({'v': '3', 'api_key': options.api_key.get_secret_value()})}"

    def exchange(self, options: KiteOptions, pasted: str) -> Call:
        """See `Access.exchange`."""
        if options.api_secret is None:
            raise ConfigError(
                "providers.kite_ws.api_secret: is missing: the login is signed with it; "
                'write "${KITE_API_SECRET}" and put it into .env'
            )
        key, request = options.api_key.get_secret_value(), request_token_of(pasted)
        signed = checksum(key, request, options.api_secret.get_secret_value())
        form = {"api_key": key, "request_token": request, "checksum": signed}
        return Call(f"{options.rest}/session/token", _VERSION, form)

    def granted(self, options: KiteOptions, status: int, body: str, now_ns: int) -> str:
        """See `Access.granted`."""
        document = _document(body)
        data = document.get("data")
        token = data.get("access_token") if isinstance(data, dict) else None
        if status == _OK and isinstance(data, dict) and isinstance(token, str) and token.strip():
            return json.dumps(
                {
                    "provider": "kite_ws",
                    "api_key": options.api_key.get_secret_value(),
                    "user_id": str(data.get("user_id", "")),
                    "access_token": token,
                    "made_at": _text(now_ns),
                    "expires_at": _text(expiry(now_ns)),
                },
                indent=2,
            )
        said = _said(document, options)
        if status == _BUSY or status in _SERVER_ERRORS:
            raise TransientError(f"Kite can't log in now (HTTP {status}{said}): try again in a minute")
        if status == _OK:
            raise PermanentError("Kite's answer holds no access token", "Check providers.kite_ws.api")
        raise PermanentError(
            f"Kite refused the login (HTTP {status}{said})",
            "A request token works once and for a few minutes: log in again for a new one. If it is "
            "new, check api_key and api_secret",
        )

    def read(self, options: KiteOptions, text: str, source: str) -> Token:
        """See `Access.read`."""
        document = _document(text)
        token, key = document.get("access_token"), document.get("api_key")
        if not isinstance(token, str) or not token.strip():
            raise ConfigError(f"{source}: is no token file: run `mdingest login kite`")
        if key is not None and key != options.api_key.get_secret_value():
            raise ConfigError(f"{source}: its token belongs to another api_key: run `mdingest login kite`")
        made, expires = _instant(document.get("made_at")), _instant(document.get("expires_at"))
        if expires is None and made is not None:
            expires = expiry(made)
        return Token(SecretStr(token), source, made, expires)

    def probe(self, options: KiteOptions, token: SecretStr) -> Call:
        """See `Access.probe`: the cheapest call there is."""
        secret = f"token {options.api_key.get_secret_value()}:{token.get_secret_value()}"
        return Call(f"{options.rest}/user/profile", {**_VERSION, "Authorization": secret})

    def doubted(self, refusal: PermanentError, status: int) -> PermanentError:
        """See `Access.doubted`. An expired token and an app without market data look alike at the socket."""
        if status == _OK:
            return Unauthorized(
                "Kite refused the connection with HTTP 403, though the access token is good: the app has no "
                "market data, which the free Connect plan does not include",
                SUBSCRIBE,
            )
        if status == _FORBIDDEN:
            return Unauthorized(
                "Kite refused the access token (HTTP 403): it has expired (each dies by 06:00 IST), "
                "was replaced by a later login, or belongs to another api_key",
                LOG_IN,
            )
        return refusal

    def unusable(self, token: Token | None) -> PermanentError:
        """See `Access.unusable`."""
        if token is None or token.expires_ns is None:
            return Unauthorized("there is no access token for Kite", LOG_IN)
        died = datetime.fromtimestamp(token.expires_ns // NS, _IST)
        return Unauthorized(f"Kite's access token expired at {died:%Y-%m-%d %H:%M} IST", LOG_IN)


def _document(text: str) -> dict[str, object]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _said(document: dict[str, object], options: KiteOptions) -> str:
    """The broker's words in one short line, without our secrets."""
    said = document.get("message")
    if not isinstance(said, str):
        return ""
    for secret in (options.api_key, options.api_secret):
        if secret is not None:
            said = said.replace(secret.get_secret_value(), "***")
    return f": {' '.join(said.split())[:_TEXT_LIMIT].removesuffix('.')}"


def _text(instant_ns: int) -> str:
    return datetime.fromtimestamp(instant_ns // NS, UTC).isoformat().replace("+00:00", "Z")


def _instant(value: object) -> int | None:
    try:
        parsed = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if parsed is None or parsed.tzinfo is None else int(parsed.timestamp()) * NS
