"""Single values of the configuration: how they are written, and what is said of wrong ones."""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import AfterValidator, PlainSerializer, PlainValidator, SecretStr

from mdingest.core.interval import Interval

_SYMBOL = re.compile(r"[^\s,;/?#]+(?: [^\s,;/?#]+)*")
_SYMBOL_MAX = 64
_NAMED = 5  # wrong symbols; a file of another kind has thousands
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


def _is_symbol(item: object) -> bool:
    return isinstance(item, str) and len(item) <= _SYMBOL_MAX and bool(_SYMBOL.fullmatch(item))


def _symbols(value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError("must be a list of symbols like [RELIANCE.NS, TCS.NS], or {file: PATH}")  # noqa: TRY004 - for pydantic
    wrong = [f"[{i}] is {_shown(item)}" for i, item in enumerate(value) if not _is_symbol(item)]
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise ValueError(f"a symbol looks like RELIANCE.NS, but {', '.join(wrong[:_NAMED])}{more}")
    return tuple(dict.fromkeys(value))


def _shown(item: object) -> str:
    """Nothing cut or escaped: a secret that got here by mistake must still be found and hidden."""
    if not isinstance(item, str | int | float):
        return "no text"
    text = " ".join(str(item).split())
    return f"'{text}'" if len(text) <= _SYMBOL_MAX else f"longer than {_SYMBOL_MAX} characters"


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
