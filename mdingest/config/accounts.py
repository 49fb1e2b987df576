"""Providers of history in a configuration: where they are named, and what they take over from live feeds."""

from collections.abc import Collection, Iterable, Iterator, Mapping

from pydantic import BaseModel

from mdingest.config.mistakes import Mistake
from mdingest.config.model import Config
from mdingest.core.interval import Interval
from mdingest.providers import HISTORY, histories_of

Named = tuple[tuple[str | int, ...], str]


def feeds_named(config: Config, raw: Mapping[str, object], wrong: Collection[str]) -> list[Named]:
    """Each place where a live feed is named, and the name; as written where the section is ``wrong``."""
    found: list[Named] = [
        (("realtime", i, "provider"), entry.provider) for i, entry in enumerate(config.realtime)
    ]
    return [*found, *_written(raw, "realtime", wrong)]


def histories_named(
    config: Config, raw: Mapping[str, object] = {}, wrong: Collection[str] = ()
) -> list[Named]:
    """Each place where a provider of history is named, and the name; `feeds_named` has the rest."""
    found: list[Named] = [
        (("backfill", i, "provider"), name)
        for i, request in enumerate(config.backfill)
        for name in request.providers
    ]
    found += [(("reconcile", i, "provider"), entry.provider) for i, entry in enumerate(config.reconcile)]
    found += [*_written(raw, "backfill", wrong), *_written(raw, "reconcile", wrong)]
    return found + [
        (("repair", "providers", feed), name)
        for feed, names in config.repair.providers.items()
        for name in names
    ]


def _written(raw: Mapping[str, object], key: str, wrong: Collection[str]) -> Iterator[Named]:
    """The names in a section with mistakes, which must not hide those in its names."""
    entries = raw.get(key) if key in wrong else None
    for i, entry in enumerate(entries if isinstance(entries, list) else []):
        given = entry if isinstance(entry, dict) else {}
        name, names = given.get("provider"), given.get("providers")
        said = name.split(",") if isinstance(name, str) else names if isinstance(names, list) else []
        yield from (((key, i, "provider"), one.strip()) for one in said if isinstance(one, str))


def unanswered(config: Config, providers: Mapping[str, BaseModel]) -> list[Mistake]:
    """What is to be fetched or compared at a time of day, in candles that none of its providers has."""
    asked = [(("backfill", i), entry.providers, entry.interval) for i, entry in enumerate(config.backfill)]
    asked += [
        (("reconcile", i), (entry.provider,), entry.interval) for i, entry in enumerate(config.reconcile)
    ]
    found: list[Mistake] = []
    for place, names, interval in asked:
        said = [
            _lacks(name, interval, providers[name]) for name in names if name in HISTORY and name in providers
        ]
        if said and all(said):
            found.append(((*place, "interval"), "; ".join(said)))
    return found


def _lacks(name: str, interval: str, options: BaseModel) -> str:
    why = HISTORY[name].history(options).capabilities.lacks(Interval.parse(interval))
    return why and f"{name} {why}"


def with_account(name: str, sections: Mapping[str, object]) -> object:
    """A section, and what it leaves out as the live feed of the same account has it."""
    own = sections.get(name)
    if name not in HISTORY or not HISTORY[name].account:
        return own
    account = sections.get(HISTORY[name].account)
    if not isinstance(account, dict) or not isinstance(own, dict | None):
        return own
    keys = HISTORY[name].Options.model_fields
    return {key: value for key, value in account.items() if key in keys} | (own or {})


def told_at_account(mistakes: Iterable[Mistake], sections: Mapping[str, object]) -> list[Mistake]:
    """Mistakes in what `with_account` took over: told of the live feed, where they belong, and once.

    ``sections`` as they were written.
    """
    mistakes = list(mistakes)
    told = {loc for loc, _ in mistakes}
    found: list[Mistake] = []
    for loc, said in mistakes:
        place = _at_account(loc, sections)
        if place == loc or place not in told:
            found.append((place, said))
            told.add(place)
    return found


def _at_account(loc: tuple[str | int, ...], sections: Mapping[str, object]) -> tuple[str | int, ...]:
    match loc:
        case ("providers", str(name), key, *rest) if name in HISTORY and HISTORY[name].account:
            own = sections.get(name)
            written = isinstance(own, dict) and key in own
            return loc if written else ("providers", HISTORY[name].account, key, *rest)
    return loc


def own_histories(feeds: Iterable[str]) -> list[str]:
    """The histories of the brokers behind some live feeds: they fill the holes."""
    return [name for feed in feeds for name in histories_of(feed)]
