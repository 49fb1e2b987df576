"""``${NAME}`` in the file, from the environment or a ``.env`` file, and ``~/``."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mdingest.errors import ConfigError

_REFERENCE = re.compile(r"\$(?:\$\{|\{([^}]*)(\}?))")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_LINE = re.compile(r"(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*)", re.ASCII)
_SHORTEST_SECRET = 3
_HOME = "~/"
KeyPath = tuple[str | int, ...]


class Environment:
    """Variables, and which of them the file used, so that no error repeats their values."""

    def __init__(self, env: Mapping[str, str], directories: list[Path], unused: Collection[str] = ()) -> None:
        """``unused`` names keys under which a variable need not be set: nobody will look at its value."""
        self._unused = unused
        self._values: dict[str, str] = {}
        self._used: dict[str, str] = {}
        for directory in reversed(directories):
            self._values |= _read_dotenv(directory / ".env")
        self._values |= env

    def expand(self, raw: dict[str, Any], errors: list[tuple[KeyPath, str]]) -> dict[str, Any]:
        """``raw`` with every reference in its texts replaced; ``$${`` stands for ``${``.

        A text that begins with ``~/`` is a path in the user's home: no shell comes across it.
        What is missing becomes an empty text and is appended to ``errors`` with its path.
        """
        return {key: self._expand(item, (key,), errors) for key, item in raw.items()}

    def _expand(self, value: object, path: KeyPath, errors: list[tuple[KeyPath, str]]) -> object:
        if isinstance(value, dict):
            return {key: self._expand(item, (*path, key), errors) for key, item in value.items()}
        if isinstance(value, list):
            return [self._expand(item, (*path, i), errors) for i, item in enumerate(value)]
        if not isinstance(value, str):
            return value

        def replace(found: re.Match[str]) -> str:
            name = found[1]
            if name is None:
                return "${"
            if not found[2] or not _NAME.fullmatch(name):
                errors.append((path, "a reference looks like ${KITE_API_KEY}; write $${ for a plain ${"))
                return ""
            if not self._values.get(name):
                if path[0] in self._unused:
                    return "https://unset"  # a secret may be any text, an address only such
                errors.append((path, f"{name} is not set; put it into the environment or .env"))
                return ""
            self._used[name] = self._values[name]
            return self._values[name]

        text = _REFERENCE.sub(replace, value)
        return str(Path(text).expanduser()) if text.startswith(_HOME) else text

    def hide(self, text: str) -> str:
        """``text`` with the value of every variable that was used replaced by its name."""
        for name, value in sorted(self._used.items(), key=lambda item: -len(item[1])):
            if len(value) >= _SHORTEST_SECRET:
                text = text.replace(value, f"${{{name}}}")
        return text


def _read_dotenv(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a mark
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: can't be read: {getattr(exc, 'strerror', 'not UTF-8 text')}") from exc
    values = {}
    for number, raw in enumerate(text.splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise ConfigError(f"{path}:\n  line {number}: must look like NAME=value")
        values[found[1]] = _unquote(found[2])
    return values


def _unquote(text: str) -> str:
    """A quoted value whole; an unquoted one up to a comment."""
    for quote in "'\"":
        end = text.find(quote, 1)
        if text.startswith(quote) and end > 0:
            return text[1:end]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()
