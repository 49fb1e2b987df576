"""Which files hold a symbol's candles."""

import difflib
import glob
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from mdingest.core.interval import Interval
from mdingest.providers.csvfile.dialect import tells_symbols
from mdingest.providers.csvfile.options import CsvOptions
from mdingest.providers.csvfile.texts import encoding_of

_HEAD_BYTES = 1 << 16


def files_of(symbol: str, interval: Interval, options: CsvOptions) -> list[Path]:
    """The files of a symbol that exist, by name."""
    found: dict[Path, None] = {}
    for pattern in options.patterns_of(symbol):
        for name in sorted(glob.glob(_filled(pattern, symbol, interval))):  # noqa: PTH207 - patterns may be absolute
            if Path(name).is_file():
                found[Path(name)] = None
    return list(found)


def unknown(symbols: Sequence[str], options: CsvOptions, interval: Interval) -> dict[str, str]:
    """See `providers.history.Find`: symbols that have no file, or none that is theirs alone."""
    files = {symbol: files_of(symbol, interval, options) for symbol in symbols}
    missing = [symbol for symbol, found in files.items() if not found]
    known = sorted(_symbols(interval, options)) if missing else []
    found = {symbol: _said(symbol, interval, options, known) for symbol in missing}
    return found if isinstance(options.files, dict) else found | _shared(files, options)


def _shared(files: Mapping[str, Sequence[Path]], options: CsvOptions) -> dict[str, str]:
    """Symbols with a file that is another's, too, and does not say whose its rows are."""
    owners: dict[Path, list[str]] = {}
    for symbol, paths in files.items():
        for path in paths:
            owners.setdefault(path, []).append(symbol)
    several = [path for path, symbols in owners.items() if len(symbols) > 1]
    said = "has no column of symbols: ask for one symbol, or let providers.csv.files say which file is whose"
    return {
        symbol: f"{path} {said}"
        for path in several
        if not _tells_symbols(path, options)
        for symbol in owners[path]
    }


def _tells_symbols(path: Path, options: CsvOptions) -> bool:
    """Whether its rows name theirs; so it is if the file is no table, which is told when it is read."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:
        return True
    lines = head.decode(encoding_of(head), errors="replace").splitlines()
    return tells_symbols(lines[:-1] if len(head) == _HEAD_BYTES else lines, options)


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
