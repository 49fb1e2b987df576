"""Columns of text to numbers: all at once where they are plain, cell by cell where they are not."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MISSING = frozenset({"", "-", "--", "null", "na", "n/a", "n/d", "none", "#n/a", "\\n"})
OK, ABSENT, WRONG = 0, 1, 2
_PLAIN = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d{1,3})?", re.ASCII)
_GROUPED = re.compile(r"[-+]?\d{1,3}(,\d{2,3})*,\d{3}", re.ASCII)  # 1,234,567 and 12,34,567


def read_numbers(
    cells: Sequence[str], decimal: str, thousands: str, *, plain: bool
) -> tuple[NDArray[np.float64], NDArray[np.uint8] | None]:
    """Values (NaN unless OK) and, unless all are OK, a code each. ``n`` to ``(n,)``.

    ``plain``: the text around has no underscore and nothing but ASCII, so that `float`
    takes only what looks like a number to people too.
    """
    if plain and decimal == ".":
        try:
            values = np.fromiter(map(float, cells), np.float64, len(cells))
        except ValueError:
            pass
        else:
            if np.isfinite(values).all():
                return values, None
    codes = np.empty(len(cells), np.uint8)
    values = np.full(len(cells), np.nan)
    for i, cell in enumerate(cells):
        codes[i], values[i] = _read(cell, decimal, thousands)
    return values, codes


def _read(cell: str, decimal: str, thousands: str) -> tuple[int, float]:
    text = cell.strip().strip('"')
    if text.casefold() in MISSING:
        return ABSENT, np.nan
    if thousands:
        text = text.replace(thousands, "")
    if decimal != ".":
        text = text.replace(decimal, ".")
    if not _PLAIN.fullmatch(text):
        return WRONG, np.nan
    value = float(text)
    return (OK, value) if np.isfinite(value) else (WRONG, np.nan)


def detect_decimal(cells: Sequence[str], delimiter: str) -> tuple[str, str]:
    """Decimal and thousands mark of some cells. Raises ValueError if both readings are possible."""
    cells = [cell.strip().strip('"') for cell in cells]
    commas = [cell for cell in cells if "," in cell]
    if not commas:
        return ".", ""
    both = [cell for cell in commas if "." in cell]
    if both:
        return (",", ".") if both[0].rindex(",") > both[0].rindex(".") else (".", ",")
    if any("." in cell for cell in cells):
        return ".", ","
    if not all(_GROUPED.fullmatch(cell) for cell in commas):
        return ",", ""
    if delimiter == ",":
        return ".", ","  # nobody quotes every price of a comma-separated file to have decimal commas
    raise ValueError(
        f"{commas[0]} may be {commas[0].replace(',', '')} or {commas[0].replace(',', '.')}: "
        'set decimal: "." or decimal: ","'
    )
