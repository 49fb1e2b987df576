"""What is wrong with a configuration, in the words of who writes YAML: one line a mistake."""

import difflib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import get_args

from pydantic import BaseModel, ValidationError

Loc = tuple[str | int, ...]
Mistake = tuple[Loc, str]
_KIND_OF_VALUE = re.compile(r"str|(?:function-[a-z]+|tuple|list|dict|union)\[.*\]")
"""Steps of a path that name one of several types a value may have: nobody wrote them."""
_SAID = {
    "missing": "is missing: write it here, or ${NAME} to take it from the environment",
    "string_type": "must be text; put a number into quotes",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "dict_type": "must be a mapping of keys",
    "model_type": "must be a mapping of keys",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be a number",
    "path_type": "must be a path",
    "invalid_key": "keys must be text; put a number into quotes",
}


def nearest(name: str, known: Iterable[str]) -> str:
    """What may have been meant, to be put behind a sentence."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"


def mistakes_of(exc: ValidationError, model: type[BaseModel], prefix: Loc) -> list[Mistake]:
    """Those of one section; ``prefix`` is where it stands."""
    found = []
    for error in exc.errors(include_url=False, include_input=False, include_context=False):
        loc, kind = error["loc"], error["type"]
        if kind == "extra_forbidden":
            said = "unknown key" + nearest(str(loc[-1]), _keys(model, loc[:-1]))
        else:
            said = _SAID.get(kind) or error["msg"].removeprefix("Value error, ")
        written = tuple(step for step in loc if isinstance(step, int) or not _KIND_OF_VALUE.fullmatch(step))
        found.append(((*prefix, *written), _lower(said)))
    return found


def _lower(said: str) -> str:
    said = re.sub("^Input should be", "must be", said)
    return said[0].lower() + said[1:]


def _keys(model: type[BaseModel], loc: Loc) -> list[str]:
    """The keys that may stand at ``loc``."""
    for step in loc:
        if isinstance(step, int):
            continue
        field = next((f for name, f in model.model_fields.items() if step in (name, f.alias)), None)
        kinds = [] if field is None else [field.annotation, *get_args(field.annotation)]
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if not models:
            return []
        model = models[0]
    return [field.alias or name for name, field in model.model_fields.items()]


def report(mistakes: list[Mistake], file: Path | None, given: Mapping[str, str]) -> str:
    """One line a mistake, under the source that it comes from; ``given``: of keys not in the file.

    What follows from a mistake at the same place (a variable that is not set) is left out.
    """
    sources: dict[str, list[str]] = {}
    first = dict(reversed(mistakes))
    for loc, said in mistakes:
        if first[loc] != said and loc != ("calendar", "file"):
            continue
        path = ".".join(str(step) for step in loc)
        where = "built-in defaults" if file is None else str(file)
        source = next((given[key] for key in given if path == key or path.startswith(f"{key}.")), where)
        sources.setdefault(source, []).append(f"  {path}: {said}")
    return "\n".join(line for source, lines in sources.items() for line in (f"{source}:", *lines))
