"""What to say of a symbol that a list does not have."""

import difflib
from collections.abc import Sequence

_LENGTH_SLACK = 4
_CANDIDATES, _NAMED = 12, 3
_FEW = 1_000  # up to here everything may be compared


def not_listed(symbol: str, known: Sequence[str], whose: str) -> str:
    """The sentence for it, with the nearest that exist."""
    begin, length = symbol[:1].upper(), len(symbol)
    if len(known) > _FEW:
        known = [k for k in known if k[:1] == begin and abs(len(k) - length) <= _LENGTH_SLACK]
    near = difflib.get_close_matches(symbol.upper(), known, _CANDIDATES)
    near = [name for name in near if difflib.get_close_matches(_stem(symbol), [_stem(name)], 1)]
    if near:
        return f"{symbol}: not in {whose} instrument list; did you mean {', '.join(near[:_NAMED])}?"
    return f"{symbol}: not in {whose} instrument list, nor anything like it"


def _stem(symbol: str) -> str:
    """Without the suffix of the exchange, which is alike in all of them."""
    return symbol.upper().rpartition(".")[0] or symbol.upper()
