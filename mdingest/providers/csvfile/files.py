"""Which files hold a symbol's candles."""

import difflib
import glob
import re
from collections.abc import Sequence
from pathlib import Path

from mdingest.core.interval import Interval
from mdingest.providers.csvfile.options import CsvOptions


def files_of(symbol: str, interval: Interval, options: CsvOptions) -> list[Path]:
    """The files of a symbol that exist, by name."""
    found: dict[Path, None] = {}
    for pattern in options.patterns_of(symbol):
        for name in sorted(glob.glob(_filled(pattern, symbol, interval))):  # noqa: PTH207 - patterns may be absolute
            if Path(name).is_file():
                found[Path(name)] = None
    return list(found)


def unknown(symbols: Sequence[str], options: CsvOptions, interval: Interval) -> dict[str, str]:
    """See `providers.history.Find`: symbols that have no file."""
    missing = [symbol for symbol in symbols if not files_of(symbol, interval, options)]
    if not missing:
        return {}
    known = sorted(_symbols(interval, options))
    return {symbol: _said(symbol, interval, options, known) for symbol in missing}


def _said(symbol: str, interval: Interval, options: CsvOptions, known: Sequence[str]) -> str:
    patterns = options.patterns_of(symbol)
    if not patterns:
        where = "not among providers.csv.files"
    else:
        where = f"no file {', '.join(_filled(pattern, symbol, interval) for pattern in patterns)}"
    near = difflib.get_close_matches(symbol.upper(), known, 3)
    if near:
        return f"{where}; did you mean {', '.join(near)}?"
    return f"{where}; there are {', '.join(known[:5])}" if known else f"{where} (see providers.csv.files)"


def _symbols(interval: Interval, options: CsvOptions) -> set[str]:
    """Symbols that patterns with ``{symbol}`` find files for, or that a mapping lists."""
    if isinstance(options.files, dict):
        return set(options.files)
    found = set()
    for pattern in options.patterns_of(""):
        if "{symbol}" not in pattern:
            continue
        shape = re.escape(pattern).replace(r"\{symbol\}", "(?P<symbol>[^/]+)", 1)
        shape = shape.replace(r"\{symbol\}", "[^/]+").replace(r"\{name\}", "[^/]+").replace(r"\*", ".*")
        shape = shape.replace(r"\{interval\}", re.escape(interval.text))
        anything = (
            pattern.replace("{symbol}", "*").replace("{name}", "*").replace("{interval}", interval.text)
        )
        for name in glob.glob(anything):  # noqa: PTH207 - as above
            if (matched := re.fullmatch(shape, name)) is not None:
                found.add(matched["symbol"])
    return found


def _filled(pattern: str, symbol: str, interval: Interval) -> str:
    name = symbol.rpartition(".")[0] or symbol
    for place, text in (("{symbol}", symbol), ("{name}", name), ("{interval}", interval.text)):
        pattern = pattern.replace(place, glob.escape(text))
    return pattern
