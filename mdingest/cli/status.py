"""``status``: feeds, lag, last candle, gaps and disk on one screen."""

from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mdingest.cli.common import AddCommand, load_config

_MOST_ROWS = 20
_MOST_PLACES = 3
_FEED_COLUMNS = (
    "state",
    "state_for_s",
    "instruments",
    "frames",
    "last_frame_s",
    "last_data_s",
    "quiet",
    "reconnects",
)
_SHORT = {"quiet": "quiet_instruments"}  # silent against their own rhythm
_MINUTE = 60
_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))
_VERDICTS = (("ok", True), ("failing", False))


def add(command: AddCommand) -> None:
    """The commands of this group."""
    status = command("status", "feeds, lag, last candle, gaps and disk on one screen")
    status.add_argument("--json", action="store_true", help="the same for programs")
    status.set_defaults(handler=_status)


def _status(args: Namespace) -> int:
    config = load_config(args)
    import asyncio

    from mdingest.cli.gathering import gather

    found = asyncio.run(gather(config))
    if args.json:
        import orjson

        print(orjson.dumps(found, default=str, option=orjson.OPT_INDENT_2).decode())
    else:
        print("\n".join(screen(condense(found))))
    return 0


def condense(found: dict[str, Any]) -> dict[str, Any]:
    """What fits on one screen: how each part is, what needs a person, the newest candles."""
    daemon = found["daemon"]
    parts = daemon.get("parts", {})
    feeds = [
        {"feed": name, **{key: feed.get(_SHORT.get(key, key)) for key in _FEED_COLUMNS}}
        for name, feed in parts.get("feeds", {}).items()
        if isinstance(feed, dict)
    ]
    attention = _attention(parts)
    shown: dict[str, Any] = {
        "daemon": {key: value for key, value in daemon.items() if key != "parts"}
        | {name: ", ".join(n for n, p in parts.items() if p["ok"] is ok) or None for name, ok in _VERDICTS},
        "attention": [f"{_places(where)}: {sentence}" for sentence, where in attention.items()],
        "feeds": feeds,
        "schedule": _jobs(parts.get("schedule", {})),
        "tokens": [_shortened(row, attention) for row in found["tokens"]],
    }
    if not parts:
        shown = {"daemon": daemon, "tokens": found["tokens"]}
    if "alerts" in parts:
        alerts = parts["alerts"]
        shown["daemon"]["alerts"] = (
            f"webhook {alerts['webhook']}, {alerts['sent']} sent, {alerts['waiting']} waiting, "
            f"{alerts['dropped']} dropped"
        )
    if "disk" in parts and "free_bytes" in parts["disk"]:
        shown["daemon"]["free_bytes"] = parts["disk"]["free_bytes"]
    shown |= {"stored": found["stored"], "journal": found["journal"]}
    return {key: value for key, value in shown.items() if value or key == "daemon"}


def _shortened(token: dict[str, Any], attention: Iterable[str]) -> dict[str, Any]:
    """What to do about a token that is missing is not said twice."""
    state, _, todo = token["state"].partition(": ")
    return token | {"state": state} if todo and any(todo in said for said in attention) else token


def _jobs(part: dict[str, Any]) -> list[dict[str, Any]]:
    """What runs at a time of day: when, and how it went."""
    return [
        {
            "job": name,
            "last": job.get("last"),
            "next": job.get("next"),
            "said": "running"
            if job.get("running")
            else "failed: see attention"
            if job.get("error")
            else job.get("said"),
        }
        for name, job in part.items()
        if isinstance(job, dict)
    ]


def _attention(parts: dict[str, Any]) -> dict[str, list[str]]:
    """Every sentence that asks for a person, once, with the places it was found at."""
    found: dict[str, list[str]] = {}
    for where, sentence in _complaints(parts):
        places = found.setdefault(sentence, [])
        if where not in places:
            places.append(where)
    return found


def _complaints(value: object, where: str = "") -> Iterator[tuple[str, str]]:
    """Every reason in there, with the place it was found at."""
    if not isinstance(value, dict):
        return
    said = [str(value[key]) for key in ("error", "what_to_do") if value.get(key)]
    if said:
        yield where, ". ".join(said)
    for line in value.get("unresolved", ()):
        yield where, line
    for key, item in value.items():
        yield from _complaints(item, f"{where} {key}".strip())


def _places(where: Sequence[str]) -> str:
    more = len(where) - _MOST_PLACES
    return ", ".join(where[:_MOST_PLACES]) + (f" and {more} more" if more > 0 else "")


def screen(value: object, indent: str = "") -> Iterator[str]:
    """Mappings as ``key: value`` lines, lists of flat mappings as tables."""
    if not isinstance(value, dict):
        yield f"{indent}{_text(value)}"
        return
    width = max((len(_label(key)) for key, item in value.items() if _is_flat(item)), default=0)
    for key, item in value.items():
        if _is_flat(item):
            yield f"{indent}{_label(key):{width}}  {_cell(key, item)}"
        elif isinstance(item, dict):
            yield f"{indent}{key}:"
            yield from screen(item, indent + "  ")
        else:
            yield f"{indent}{key}:"
            yield from table(item if isinstance(item, list) else [item], indent + "  ")


def _is_flat(value: object) -> bool:
    return not isinstance(value, dict | list) or not value


def _label(key: object) -> str:
    """A key without the unit that `_cell` spells."""
    return str(key).removesuffix("_s")


def _cell(key: object, value: object) -> str:
    """A value as its key says: sizes and spans have units."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        if str(key).endswith("_s"):
            return span(value)
        if str(key).endswith("bytes"):
            return _size(value)
    return _text(value)


def _text(value: object) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _size(count: float) -> str:
    return f"{count / 2**20:.1f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def span(seconds: float) -> str:
    """How long something lasts, for people: ``0.3 s``, ``43 s``, ``7 min 5 s``, ``2 h``, ``8 d 12 h``."""
    if seconds < 0:
        return f"-{span(-seconds)}"
    if seconds < _MINUTE:
        return f"{seconds:.2g} s" if seconds < 10 else f"{int(seconds)} s"  # noqa: PLR2004 - tenths help no more
    whole = int(seconds)
    for size, unit, part, smaller in _UNITS:
        if whole >= size:
            rest = whole % size // part
            return f"{whole // size} {unit}" + (f" {rest} {smaller}" if rest else "")
    raise AssertionError(seconds)


def table(rows: Sequence[object], indent: str, most: int | None = _MOST_ROWS) -> Iterator[str]:
    """Flat mappings with a column a key; not more than ``most`` of them."""
    if not all(isinstance(row, dict) for row in rows):
        yield from (f"{indent}{_text(row)}" for row in rows[:most])
    else:
        mappings = [row for row in rows if isinstance(row, dict)]
        keys = list(dict.fromkeys(key for row in mappings for key in row))
        labels = [_label(key) for key in keys]
        cells = [labels, *([_cell(key, row.get(key)) for key in keys] for row in mappings[:most])]
        widths = [max(len(row[i]) for row in cells) for i in range(len(keys))]
        for row in cells:
            yield (
                indent
                + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            )
    if most is not None and len(rows) > most:
        yield f"{indent}... and {len(rows) - most} more (--json shows all)"
