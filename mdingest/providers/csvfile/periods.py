"""How files spell the length of their bars."""

from mdingest.core.interval import DAY, WEEK, Interval

_WORDS = {"d": DAY, "day": DAY, "daily": DAY, "w": WEEK, "week": WEEK, "weekly": WEEK}


def means(text: str, interval: Interval) -> bool:
    """Whether ``5``, ``D``, ``1m`` or ``minute`` in a column of periods is this interval."""
    word = text.strip().casefold()
    if word.isdigit():
        return int(word) * 60 == interval.seconds
    if word in {"minute", "min", "1min"}:
        return interval.seconds == 60  # noqa: PLR2004 - seconds of a minute
    if word in _WORDS:
        return _WORDS[word] == interval
    try:
        return Interval.parse(word) == interval
    except ValueError:
        return True  # a column of something else
