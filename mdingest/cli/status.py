"""``status``: feeds, lag, last candle, gaps and disk on one screen."""

from argparse import Namespace
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mdingest.cli.common import AddCommand, load_config
from mdingest.cli.screen import screen

_MOST_PLACES = 3
_REFUSED = "refused"  # see `mdingest.pipeline.credentials`
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
        "tokens": [_judged(row, parts.get("tokens", {}), attention) for row in found["tokens"]],
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


def _judged(token: dict[str, Any], part: dict[str, Any], attention: Iterable[str]) -> dict[str, Any]:
    """A token as the daemon found it to be; what to do about a missing one is not said twice."""
    found = part.get(token["provider"], {})
    if found.get("state") == _REFUSED and found.get("source") == token.get("source"):
        return token | {"state": _REFUSED}
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
