"""Reading YAML so that it means what it looks like.

Plain words stay words: ``NO``, ``on`` and ``16:15`` are text here, as in YAML 1.2, and a key
given twice is a mistake instead of a silent winner. Messages name line and column and never
repeat what stands there, since that may be a secret.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from mdingest.errors import ConfigError

_QUOTED = re.compile(r"(['\"])(.{2,}?)\1")


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2, without duplicate keys."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - replaces the 1.1 rules of the base

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ARG002, ANN401, FBT001, FBT002
        """All of it at once: then what holds itself is a mistake, not an endless document."""
        return super().construct_object(node, deep=True)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        """Refuse a second value for a key."""
        seen = set()
        for key, _ in node.value:
            wrong = ""
            if not isinstance(key, yaml.ScalarNode):
                wrong = "a key must be a word"
            elif key.value in seen:
                wrong = f"the key {key.value} stands here twice"
            if wrong:
                raise yaml.constructor.ConstructorError(problem=wrong, problem_mark=key.start_mark)
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        return mapping


for _tag, _pattern, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(?:0|[1-9][0-9]*)", "-+0123456789"),
    ("float", r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), list(_first))


def read_yaml(path: Path) -> object:
    """What the file says. Raises ConfigError, one line, naming the file."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"{path}: can't be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {exc.start})") from exc
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as exc:
        mark = exc.problem_mark or exc.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        said = _QUOTED.sub("…", exc.problem or exc.context or "not YAML")
        raise ConfigError(f"{path}:\n  {where}{said}") from None  # its text quotes the line
    except yaml.YAMLError as exc:
        raise ConfigError(f"{path}: has a character that YAML does not allow") from exc
