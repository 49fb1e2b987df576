"""How a gap's repair stands after an attempt: repaired, to be tried again later, or unfillable."""

from dataclasses import replace

from mdingest.core.session import SECOND_NS
from mdingest.store.base import GapRow

MOST_ATTEMPTS = 12  # a day and a half: a token is brought and a vendor comes back within that
EARLY = "too early"
MOST_EMPTY = 3  # an answer that lacks bars may be better after a minute; it is for good after a day
NEVER_NS = 1 << 62
"""When it is due again that will not be: behind all that are, where nobody who looks for those reads it."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 60, 6 * 3_600
_SURE_WAIT_S = 25 * 3_600  # those who bring bars late are sure of a day once it is over
_NO_PROVIDER_WAIT_S, _UNSETTLED_WAIT_S = 600, 60
_LONGEST_REASON = 300


def repaired(gap: GapRow, how: str) -> GapRow:
    """Nothing is missing any more."""
    return replace(gap, repair="repaired", reason=how, retry_ns=0)


def begun(gap: GapRow) -> GapRow:
    """Somebody is at it. Should he die, it is due at once."""
    return replace(gap, repair="repairing", retry_ns=0)


def unfillable(gap: GapRow, why: str) -> GapRow:
    """No attempt will fill it."""
    return replace(gap, repair="unfillable", reason=_short(why), retry_ns=NEVER_NS)


def failed(gap: GapRow, why: str, now_ns: int) -> GapRow:
    """It was tried in vain; later again, each time twice as much later, and not for ever."""
    attempts = gap.attempts + 1
    if attempts >= MOST_ATTEMPTS:
        said = f"given up after {attempts} attempts: {why}"
        return replace(unfillable(gap, said), attempts=attempts)
    wait_s = min(_FIRST_WAIT_S * 2 ** (attempts - 1), _LONGEST_WAIT_S)
    return _later(replace(gap, attempts=attempts), why, now_ns, wait_s)


def lacking(gap: GapRow, why: str, now_ns: int) -> GapRow:
    """There was an answer, and it does not have all of it."""
    sure_ns = (now_ns if gap.end_ns is None else gap.end_ns) + _SURE_WAIT_S * SECOND_NS
    if now_ns < sure_ns and gap.attempts:
        wait_s = max((sure_ns - now_ns) / SECOND_NS, _FIRST_WAIT_S)
        return _later(replace(gap, attempts=gap.attempts + 1), why, now_ns, wait_s)
    if now_ns >= sure_ns and gap.attempts + 1 >= MOST_EMPTY:
        return replace(unfillable(gap, why), attempts=gap.attempts + 1)
    return failed(gap, why, now_ns)


def nobody(gap: GapRow, feed: str, now_ns: int) -> GapRow:
    """There is no provider to ask, which a person may change: no attempt is counted."""
    why = (
        f"nobody can be asked for the holes of {feed}: its own broker, and whoever else needs one, only "
        "with a token of today; others once they stand under backfill or repair.providers"
    )
    return _later(gap, why, now_ns, _NO_PROVIDER_WAIT_S)


def unsettled(gap: GapRow, names: str, now_ns: int, stands_ns: int) -> GapRow:
    """Some may still change what they say, until ``stands_ns``: no attempt is counted.

    The last of it is waited for: minute by minute as they settle would be a request for each.
    """
    wait_s = min(max((stands_ns - now_ns) / SECOND_NS, _UNSETTLED_WAIT_S), _LONGEST_WAIT_S)
    return _later(gap, f"{EARLY}: {names} may still change it", now_ns, wait_s)


def _later(gap: GapRow, why: str, now_ns: int, wait_s: float) -> GapRow:
    return replace(gap, repair="open", reason=_short(why), retry_ns=now_ns + round(wait_s * SECOND_NS))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_REASON else f"{text[:_LONGEST_REASON]} ..."
