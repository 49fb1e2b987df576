"""What is known as text for people: aligned lines, tables, sizes and spans in units that can be read."""

from collections.abc import Iterator, Sequence

_MOST_ROWS = 20
_SHORT_S = 10  # below it tenths are told


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
            return length(value)
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


def length(seconds: float) -> str:
    """``0.3s``, ``45s``, ``3m 05s``, ``2h 03m``, ``1d 04h``."""
    if seconds < 0:
        return f"-{length(-seconds)}"
    for unit, below, name, smaller in ((86_400, 3_600, "d", "h"), (3_600, 60, "h", "m"), (60, 1, "m", "s")):
        if seconds >= unit:
            return f"{seconds // unit:.0f}{name} {int(seconds % unit // below):02d}{smaller}"
    return f"{seconds:.1f}s" if seconds % 1 and seconds < _SHORT_S else f"{int(seconds)}s"


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
