"""``status``: feeds, lag, last candle, gaps and disk on one screen."""

from argparse import Namespace
from collections.abc import Iterator

from mdingest.cli.common import AddCommand, load_config

_MOST_ROWS = 20


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
        print("\n".join(screen(found)))
    return 0


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
            yield from _table(item if isinstance(item, list) else [item], indent + "  ")


def _is_flat(value: object) -> bool:
    return not isinstance(value, dict | list) or not value


def _text(value: object) -> str:
    if value is None or value in ([], {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"


def _table(rows: list[object], indent: str) -> Iterator[str]:
    if not all(isinstance(row, dict) for row in rows):
        yield from (f"{indent}{_text(row)}" for row in rows[:_MOST_ROWS])
    else:
        mappings = [row for row in rows if isinstance(row, dict)]
        keys = list(dict.fromkeys(key for row in mappings for key in row))
        cells = [keys, *([_text(row.get(key)) for key in keys] for row in mappings[:_MOST_ROWS])]
        widths = [max(len(row[i]) for row in cells) for i in range(len(keys))]
        for row in cells:
            yield (
                indent
                + "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
            )
    if len(rows) > _MOST_ROWS:
        yield f"{indent}... and {len(rows) - _MOST_ROWS} more (--json shows all)"
