"""From files, environment and command line to a `Config`, or to lines that say what is wrong."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from mdingest import calendars
from mdingest.config.accounts import (
    feeds_named,
    histories_named,
    own_histories,
    told_at_account,
    unanswered,
    with_account,
)
from mdingest.config.environment import Environment
from mdingest.config.mistakes import Mistake, mistakes_of, nearest, report
from mdingest.config.model import Config
from mdingest.config.standins import without_unset
from mdingest.config.yamlfile import read_yaml
from mdingest.errors import ConfigError
from mdingest.providers import HISTORY, PROVIDERS
from mdingest.providers.options import ProviderOptions
from mdingest.telemetry.clock import Clock, parse_clock
from mdingest.telemetry.logging import mask

DEFAULT_PATH = Path("config/config.yaml")
LATER = ("upstox_ws",)
"""Names of providers that this version knows of and can't use yet."""
_NAMES = (*PROVIDERS, *HISTORY)
_ENCRYPTED = ("wss://", "https://")


def load(
    path: str | Path | None = None,
    env: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
    *,
    forgive: Sequence[str] = (),
    unused: Sequence[str] = (),
) -> Config:
    """Read and check everything; nothing is started or created.

    ``path`` None means ``$MDINGEST_CONFIG``, else ``config/config.yaml`` if there is one,
    else defaults. ``overrides`` maps dotted keys to values that the command line gave;
    ``$MDINGEST_DATABASE``, if not empty, stands for a ``database.url`` of it.
    ``forgive`` names dotted keys of providers whose variables need not be set: they count as
    not given then, as does a secret whose stand-in (a token file) exists. ``unused`` names
    sections that the caller has no use for: whatever variables they name, none need be set.
    Raises ConfigError whose text has one line a mistake and no secret.
    """
    env = os.environ if env is None else env
    given = dict.fromkeys(overrides or {}, "command line")
    overrides = dict(overrides or {})
    if (url := env.get("MDINGEST_DATABASE")) and "database.url" not in given:
        overrides["database.url"], given["database.url"] = url, "$MDINGEST_DATABASE"
    file = _find(path, env)
    raw = {} if file is None else read_yaml(file)
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise ConfigError(f"{file}: must be a mapping of keys, like in config/config.example.yaml")
    directories = [Path()] if file is None else [file.parent, Path()]
    environment = Environment(env, directories, unused)
    for key, value in overrides.items():
        raw = _with(raw, key.split("."), value)
    mistakes: list[Mistake] = []
    expanded = environment.expand(raw, mistakes)
    _read_symbols(expanded, directories, mistakes)
    config = _check(expanded, mistakes, forgive)
    if mistakes:
        raise ConfigError(environment.hide(report(mistakes, file, given)))
    read = [*([] if file is None else [file]), *(directory / ".env" for directory in directories)]
    return config.reloaded_by(partial(load, path, env, overrides, forgive=forgive, unused=unused), read)


def read_clock(config: Config | None = None, env: Mapping[str, str] | None = None) -> Clock:
    """The clock that ``MDINGEST_CLOCK`` asks for, else the machine's.

    Raises ConfigError if it is malformed, or if any broker address of ``config`` is the
    real thing: shifted stamps must never meet real data.
    """
    text = (os.environ if env is None else env).get("MDINGEST_CLOCK", "")
    if not text:
        return Clock()
    clock = parse_clock(text)
    for_simulators(clock, [] if config is None else real_addresses(config))
    return clock


def for_simulators(clock: Clock, real: Sequence[str]) -> None:
    """Raises ConfigError if the clock is shifted and there are ``real`` addresses (`real_addresses`)."""
    if clock.shifted and real:
        raise ConfigError(f"MDINGEST_CLOCK is for simulators, but {real[0]}: the clock must be real")


def real_addresses(config: Config) -> list[str]:
    """Which addresses are encrypted, so a real broker's, as ``providers.kite_ws.url is wss://...``."""
    found = [said for name, options in config.providers.items() for said in addresses_of(name, options)]
    return found + (encrypted("calendar.url", config.calendar.url) if config.calendar.refresh else [])


def addresses_of(name: str, options: BaseModel) -> list[str]:
    """The same of one provider, whose options may be its defaults."""
    return [said for key, value in options for said in encrypted(f"providers.{name}.{key}", value)]


def encrypted(key: str, value: object) -> list[str]:
    """The same of one value, or of all in it, which stands at ``key``."""
    if isinstance(value, dict):
        return [said for inner, one in value.items() for said in encrypted(f"{key}.{inner}", one)]
    real = isinstance(value, str) and value.lower().startswith(_ENCRYPTED)
    return [f"{key} is {mask(str(value))}"] if real else []


def effective(config: Config) -> str:
    """The configuration with every default written out, as YAML, secrets masked."""
    shown = _mask_texts(config.model_dump(mode="json", by_alias=True))
    text: str = yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=100)
    return text


def _mask_texts(value: object) -> object:
    if isinstance(value, dict):
        return {key: _mask_texts(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_mask_texts(item) for item in value]
    return mask(value) if isinstance(value, str) else value


def _find(path: str | Path | None, env: Mapping[str, str]) -> Path | None:
    asked = path or env.get("MDINGEST_CONFIG")
    if asked:
        return Path(asked)
    return DEFAULT_PATH if DEFAULT_PATH.exists() else None


def _with(raw: dict[str, Any], keys: Sequence[str], value: object) -> dict[str, Any]:
    """``raw`` with one value replaced, however deep; the original stays as it was."""
    if len(keys) == 1:
        return raw | {keys[0]: value}
    inner = raw.get(keys[0])
    return raw | {keys[0]: _with(inner if isinstance(inner, dict) else {}, keys[1:], value)}


def _read_symbols(raw: dict[str, Any], directories: list[Path], mistakes: list[Mistake]) -> None:
    """Put what ``symbols: {file: PATH}`` names in its place.

    PATH is looked for from the working directory, then beside the configuration.
    """
    symbols = raw.get("symbols")
    if not (isinstance(symbols, dict) and set(symbols) == {"file"} and isinstance(symbols["file"], str)):
        return
    candidates = [directory / symbols["file"] for directory in reversed(directories)]
    file = next((candidate for candidate in candidates if candidate.exists()), candidates[0])
    listed = read_yaml(file)
    if isinstance(listed, dict) and set(listed) == {"symbols"}:
        listed = listed["symbols"]
    if not isinstance(listed, list):
        mistakes.append(
            (("symbols", "file"), f"{file} must be a YAML list of symbols, one `- SYMBOL` a line")
        )
        return
    raw["symbols"] = listed


def _check(raw: dict[str, Any], mistakes: list[Mistake], forgive: Sequence[str]) -> Config:
    """Validate; on mistakes the returned value is only a placeholder."""
    empty = [key for key in raw if raw[key] is None and key in Config.model_fields]  # all of it a comment
    given = raw.get("providers")
    sections = given if isinstance(given, dict) else {}
    config, wrong = _sections({key: raw[key] for key in raw if key not in ("providers", *empty)}, mistakes)
    if given is not None and not isinstance(given, dict):
        mistakes.append((("providers",), "must map a provider's name to what it is told"))
    for place, name in feeds_named(config, raw, wrong):
        if said := _unknown_provider(name):
            mistakes.append((place, said))
    for i, entry in enumerate(config.realtime):
        if not (_unknown_provider(entry.provider) or config.symbols_of(entry) or "symbols" in wrong):
            mistakes.append((("realtime", i, "symbols"), "no symbols: list them here or under symbols"))
    asked = histories_named(config, raw, wrong)
    known = sorted(HISTORY)
    mistakes += [
        (place, f"no history provider of this name; known: {', '.join(known)}")
        for place, name in asked
        if name not in known
    ]
    mistakes += [
        (("repair", "providers", feed), said)
        for feed in config.repair.providers
        if (said := _unknown_provider(feed))
    ]
    feeds = [entry.provider for entry in config.realtime]
    mistakes += [
        (("realtime", i, "provider"), f"{name} is listed twice: put its symbols into one entry")
        for i, name in enumerate(feeds)
        if name in feeds[:i]
    ]
    sources = [name for _, name in asked]
    names = dict.fromkeys([*sections, *(name for name in (*feeds, *sources) if name in _NAMES)])
    data = config.journal.dir.parent
    sections = {
        name: without_unset(name, _model_of(name), sections.get(name), mistakes, data, forgive)
        for name in names
    }
    options = {name: _options(name, with_account(name, sections), mistakes) for name in names}
    if not mistakes:  # else what is wrong with a feed's section would be told twice
        for name in own_histories(options):
            options.setdefault(name, _options(name, with_account(name, sections), mistakes))
    checked = {
        name: value.beside(data) if isinstance(value, ProviderOptions) else value
        for name, value in options.items()
        if value is not None
    }
    _check_calendars(config, checked, mistakes)
    mistakes[:] = told_at_account([*mistakes, *unanswered(config, checked)], sections)
    return config.model_copy(update={"providers": checked})


def _sections(raw: dict[Any, Any], mistakes: list[Mistake]) -> tuple[Config, set[str]]:
    """All but the providers, and the sections that have mistakes: they stand at their defaults."""
    try:
        return Config.model_validate(raw), set()
    except ValidationError as exc:
        mistakes += mistakes_of(exc, Config, ())
        wrong = {str(error["loc"][0]) for error in exc.errors(include_url=False, include_input=False)}
    sound = {key: value for key, value in raw.items() if isinstance(key, str) and key not in wrong}
    return Config.model_validate(sound), wrong


def _check_calendars(config: Config, providers: Mapping[str, BaseModel], mistakes: list[Mistake]) -> None:
    """The user's trading hours can be read, and session classes that are named exist."""
    try:
        known = calendars.load(config.calendar.file).classes
    except ConfigError as exc:
        mistakes += [(("calendar", "file"), line) for line in str(exc).splitlines()]
        return
    for name, options in providers.items():
        given = options.session_class if isinstance(options, ProviderOptions) else {}
        for kind in [given] if isinstance(given, str) else given.values():
            if kind not in known:
                said = f"no session class {kind!r}{nearest(kind, known)}"
                mistakes.append((("providers", name, "session_class"), said))


def _options(name: str, given: object, mistakes: list[Mistake]) -> BaseModel | None:
    """What one provider is told, as its adapter understands it."""
    model = _model_of(name)
    if model is None:
        said = (
            f"{name} is not available yet"
            if name in LATER
            else f"no provider of this name{nearest(name, _NAMES)}"
        )
        mistakes.append((("providers", name), said))
        return None
    try:
        return model.model_validate({} if given is None else given)
    except ValidationError as exc:
        mistakes += mistakes_of(exc, model, ("providers", name))
        return None


def _model_of(name: str) -> type[BaseModel] | None:
    """What the section of a provider may say."""
    if name in PROVIDERS:
        return PROVIDERS[name].Options
    return HISTORY[name].Options if name in HISTORY else None


def _unknown_provider(name: str) -> str:
    if name in PROVIDERS:
        return ""
    if name in LATER:
        return f"{name} is not available yet"
    return f"no provider of this name{nearest(name, PROVIDERS)}"
