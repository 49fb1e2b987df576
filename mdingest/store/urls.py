"""Database addresses, as the configuration spells them."""

from pathlib import Path
from urllib.parse import unquote, urlsplit

from mdingest.errors import ConfigError

_SCHEMES = {"sqlite": "sqlite", "postgresql": "postgres", "postgres": "postgres"}


def dialect_of(url: str) -> str:
    """``sqlite`` or ``postgres``: also the name of its folder of migrations.

    Raises ConfigError for anything else. The text of the error never repeats the address,
    which may hold a password.
    """
    scheme = url.partition("://")[0]
    try:
        return _SCHEMES[scheme]
    except KeyError:
        raise ConfigError(
            "database url must look like sqlite:///data/mdingest.db or postgresql://user@host/name"
        ) from None


def sqlite_path(url: str) -> Path:
    """The file of ``sqlite:///relative``, ``sqlite:////absolute``, ``sqlite:///~/home``.

    Raises ConfigError.
    """
    if dialect_of(url) != "sqlite":
        raise ConfigError("this needs a SQLite file: sqlite:///path")
    parts = urlsplit(url)
    path = unquote(parts.path[1:])
    if parts.netloc or parts.query or parts.fragment or not path or path.endswith("/") or path == ":memory:":
        raise ConfigError(
            f"a SQLite url names a file: sqlite:///relative/path or sqlite:////absolute/path, was {url!r}"
        )
    return Path(path).expanduser() if path.startswith("~/") else Path(path)
