"""``status``: feeds, lag, last candle, gaps and disk on one screen."""

from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Any

from mdingest.cli.common import AddCommand, load_config

_MOST_ROWS = 20
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
    shown: dict[str, Any] = {
        "daemon": {key: value for key, value in daemon.items() if key != "parts"}
        | {name: ", ".join(n for n, p in parts.items() if p["ok"] is ok) or None for name, ok in _VERDICTS},
        "attention": list(dict.fromkeys(_complaints(parts))),
        "feeds": feeds,
        "schedule": _jobs(parts.get("schedule", {})),
        "tokens": found["tokens"],
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


def _jobs(part: dict[str, Any]) -> list[dict[str, Any]]:
    """What runs at a time of day: when, and how it went."""
    return [
        {
            "job": name,
            "last": job.get("last"),
            "next": job.get("next"),
            "said": "running" if job.get("running") else job.get("error") or job.get("said"),
        }
        for name, job in part.items()
        if isinstance(job, dict)
    ]


def _complaints(value: object, where: str = "") -> Iterator[str]:
    """Every reason in there, with the place it was found at."""
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if key in ("error", "what_to_do") and item:
            yield f"{where}: {item}"
        elif key == "unresolved":
            yield from (f"{where}: {line}" for line in item)
        else:
            yield from _complaints(item, f"{where} {key}".strip())


def screen(value: object, indent: str = "") -> Iterator[str]:
    """Mappings as ``key: value`` lines, lists of flat mappings as tables."""
    if not isinstance(value, dict):
        yield f"{indent}{_text(value)}"
        return
    width = max((len(str(key)) for key, item in value.items() if _is_flat(item)), default=0)
    for key, item in value.items():
        if _is_flat(item):
            text = _size(item) if isinstance(item, int) and str(key).endswith("bytes") else _text(item)
            yield f"{indent}{key!s:{width}}  {text}"
        elif isinstance(item, dict):
            yield f"{indent}{key}:"
            yield from screen(item, indent + "  ")
        else:
            yield f"{indent}{key}:"
            yield from table(item if isinstance(item, list) else [item], indent + "  ")


def _is_flat(value: object) -> bool:
    return not isinstance(value, dict | list) or not value


def _text(value: object) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def table(rows: Sequence[object], indent: str, most: int | None = _MOST_ROWS) -> Iterator[str]:
    """Flat mappings with a column a key; not more than ``most`` of them."""
    if not all(isinstance(row, dict) for row in rows):
        yield from (f"{indent}{_text(row)}" for row in rows[:most])
    else:
        mappings = [row for row in rows if isinstance(row, dict)]
        keys = list(dict.fromkeys(key for row in mappings for key in row))
        cells = [keys, *([_text(row.get(key)) for key in keys] for row in mappings[:most])]
        widths = [max(len(row[i]) for row in cells) for i in range(len(keys))]
        for row in cells:
            yield (
                indent
                + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            )
    if most is not None and len(rows) > most:
        yield f"{indent}... and {len(rows) - most} more (--json shows all)"
