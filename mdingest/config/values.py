"""Single values of the configuration: how they are written, and what is said of wrong ones."""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, PlainSerializer, PlainValidator, SecretStr

from mdingest.core.interval import Interval

_SYMBOL = re.compile(r"[^\s,;/?#]+(?: [^\s,;/?#]+)*")
_SYMBOL_MAX = 64
_TOKEN = re.compile(r"[!-~]+")
_AT = re.compile(r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", re.ASCII)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what is bound to ``host``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False  # a name may resolve to anything


def _symbol(text: str) -> str:
    if len(text) > _SYMBOL_MAX or not _SYMBOL.fullmatch(text):
        raise ValueError("a symbol looks like RELIANCE.NS")
    return text


def _symbols(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of symbols like [RELIANCE.NS, TCS.NS], or {file: PATH}")
    return tuple(dict.fromkeys(_symbol(item) for item in value))


def _which(value: object) -> tuple[str, ...] | Literal["all"]:
    return "all" if value == "all" else _symbols(value)


def _interval(text: str) -> str:
    return Interval.parse(text).text


def _time_of_day(text: str) -> str:
    if not _AT.fullmatch(text):
        raise ValueError('must be a time of day like "16:15"')
    return text


def _token(token: SecretStr) -> SecretStr:
    if not _TOKEN.fullmatch(token.get_secret_value()):
        raise ValueError("must be letters, digits and signs of ASCII, without blanks")
    return token


def _webhook(url: SecretStr) -> SecretStr:
    if not re.fullmatch(r"https?://[^/\s]\S*", url.get_secret_value()):
        raise ValueError("must look like https://host/path; leave it out for no alerts")
    return url


_AS_LIST = PlainSerializer(lambda symbols: symbols if symbols == "all" else list(symbols))
Symbols = Annotated[tuple[str, ...], PlainValidator(_symbols), _AS_LIST]
WhichSymbols = Annotated[tuple[str, ...] | Literal["all"], PlainValidator(_which), _AS_LIST]
At = Annotated[str, AfterValidator(_time_of_day)]
IntervalText = Annotated[str, AfterValidator(_interval)]
Token = Annotated[SecretStr, AfterValidator(_token)]
Webhook = Annotated[SecretStr, AfterValidator(_webhook)]
