"""Candles on the wire."""

import numpy as np

from mdingest.api.rows import FORMING, KEYS, as_csv, as_objects
from mdingest.core.candles import CANDLE
from mdingest.core.events import Candles
from mdingest.core.rank import MIXED_ID


def one(**columns: object) -> Candles:
    rows = np.zeros(1, CANDLE)
    rows["ts"], rows["source"], rows["oi"], rows["session"] = 60_000_000_000, 1, np.nan, 2
    for name, value in columns.items():
        rows[name] = value
    return Candles(rows)


def test_an_object_has_the_promised_keys_in_order() -> None:
    rows = one(open=1.0, high=2.5, low=0.5, close=2, volume=10, trades=3)

    (candle,) = as_objects(rows)

    assert tuple(candle) == KEYS
    assert candle == {
        "ts_utc": "1970-01-01T00:01:00Z", "open": 1.0, "high": 2.5, "low": 0.5, "close": 2.0,
        "volume": 10, "oi": None, "trades": 3, "source": "kite_ws", "state": "final",
        "session": "regular", "revision": 0,
    }  # fmt: skip


def test_what_is_unknown_is_null_and_never_a_false_zero() -> None:
    (candle,) = as_objects(one(volume=np.nan, trades=-1))

    assert candle["volume"] is None
    assert candle["trades"] is None


def test_words_stand_for_codes() -> None:
    (candle,) = as_objects(one(source=MIXED_ID, state=FORMING, session=0))

    assert (candle["source"], candle["state"], candle["session"]) == ("mixed", "forming", "unknown")


def test_fractions_of_volume_are_kept() -> None:
    assert as_objects(one(volume=0.1 + 0.2))[0]["volume"] == 0.1 + 0.2
    assert repr(as_objects(one(volume=1e15))[0]["volume"]) == "1000000000000000"


def test_csv_has_a_header_and_empty_cells() -> None:
    text = as_csv(one(open=1.05, high=2, low=0.5, close=2, volume=np.nan, trades=3, state=1)).decode()

    assert text == (
        "ts_utc,open,high,low,close,volume,oi,trades,source,state,session,revision\n"
        "1970-01-01T00:01:00Z,1.05,2.0,0.5,2.0,,,3,kite_ws,partial,regular,0\n"
    )


def test_no_candles_are_a_header_alone() -> None:
    assert as_objects(Candles(np.empty(0, CANDLE))) == []
    assert as_csv(Candles(np.empty(0, CANDLE))).count(b"\n") == 1
