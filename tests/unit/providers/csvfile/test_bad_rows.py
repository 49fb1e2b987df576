"""A wrong row is named with its line and left out; its neighbours are read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdingest.providers.history import NAMED_REJECTS
from tests.support.history import parsed, rows_of

HEADER = "time,open,high,low,close,volume\n"
GOOD = "2026-11-20 09:{:02}:00+05:30,10,12,9,11,5\n"


def with_row(row: str) -> str:
    """Good, the row on line 3, good."""
    return HEADER + GOOD.format(15) + row.rstrip("\n") + "\n" + GOOD.format(30)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("2026-11-20 09:16:00+05:30,nan,12,9,11,5", "open is no number: 'nan'"),
        ("2026-11-20 09:16:00+05:30,inf,12,9,11,5", "open is no number: 'inf'"),
        ("2026-11-20 09:16:00+05:30,1_0,12,9,11,5", "open is no number: '1_0'"),
        ("2026-11-20 09:16:00+05:30,10,12,9,abc,5", "close is no number: 'abc'"),
        ("2026-11-20 09:16:00+05:30,10,12,9,11,much", "volume is no number: 'much'"),
        ("2026-11-20 09:16:00+05:30,10,8,9,8.5,5", "high is below low"),
        ("2026-11-20 09:16:00+05:30,13,12,9,11,5", "open or close lies outside low and high"),
        ("2026-11-20 09:16:00+05:30,10,12,-9,11,5", "a price is not above zero"),
        ("2026-11-20 09:16:00+05:30,10,12,0,11,5", "a price is not above zero"),
        ("2026-11-20 09:16:00+05:30,10,12,9,11,-5", "volume is negative"),
        ("2026-11-20 09:16:00+05:30,10,,9,11,5", "some of its prices are missing"),
        ("2026-11-20 09:16:00+05:30,10,12,9", "4 fields instead of 6"),
        ("2026-11-20 09:16:00+05:30,1,200.5,1,210.5,1,190.5,1,205.5,5", "10 fields instead of 6"),
        ("2026-11-20 09:16:00,10,12,9,11,5", "'09:16:00' has no offset, unlike the other stamps"),
        ("2026-13-20 09:16:00+05:30,10,12,9,11,5", "'2026-13-20' is no date: month must be in 1..12"),
        ("2527-11-20 09:16:00+05:30,10,12,9,11,5", "'2527-11-20' is no date: year must be in 1900..2099"),
        ("yesterday,10,12,9,11,5", "'yesterday' is no date like 2026-11-20"),
        ("2026-11-20 25:16:00+05:30,10,12,9,11,5", "'25:16:00+05:30' is no time of day"),
        ("2026-11-20,10,12,9,11,5", "the stamp has no time of day"),
        ("2026-11-20 09:15:00+05:30,10,12,9,11,5", "has the stamp of line 2"),
        (
            "2026-11-20 09:14:00+05:30,10,12,9,11,5",
            "out of order: its stamp lies before that of the row above",
        ),
        ('2026-11-20 09:16:00+05:30,"10,12,9,11,5', "2 fields instead of 6"),
    ],
)
def test_a_wrong_row_is_named_and_its_neighbours_are_read(row: str, why: str) -> None:
    found = parsed(with_row(row))

    assert [(reject.line, reject.why) for reject in found.rejects] == [(3, why)]
    assert found.rejected == 1
    assert [at[0] for at in rows_of(found)] == ["2026-11-20T03:45:00", "2026-11-20T04:00:00"]


def test_an_epoch_of_no_market_s_year_is_wrong() -> None:
    lines = "".join(f"{at},10,12,9,11,5\n" for at in (1795146300, -8888551454838206464, 1795146420))
    found = parsed(f"time,open,high,low,close,volume\n{lines}")

    assert [(reject.line, reject.why) for reject in found.rejects] == [
        (3, "'-8888551454838206464' is no number of seconds since 1970, of the years 1900 to 2099")
    ]
    assert len(found.bars) == 2


@pytest.mark.parametrize("volume", ["", "-", "null", "NA", "N/D", "None", "#N/A"])
def test_a_missing_volume_is_none_and_not_zero(volume: str) -> None:
    found = parsed(HEADER + f"2026-11-20 09:16:00+05:30,10,12,9,11,{volume}\n")

    assert rows_of(found)[0][-1] is None
    assert found.rejected == 0


def test_a_row_of_zeros_is_a_candle_without_trades() -> None:
    found = parsed(with_row("2026-11-20 09:16:00+05:30,0,0,0,0,0"))

    assert (len(found.bars), found.empty, found.rejected) == (2, 1, 0)


def test_undecodable_bytes_cost_their_row_only() -> None:
    text = with_row("2026-11-20 09:16:00+05:30,1X0,12,9,11,5").encode().replace(b"X", b"\xff")

    assert parsed(text).rejected == 1


def test_the_first_are_named_and_the_others_counted() -> None:
    found = parsed(HEADER + GOOD.format(15) + "2026-11-20 09:16:00+05:30,1,2,3,4,5\n" * 500)

    assert len(found.rejects) == NAMED_REJECTS
    assert found.rejected == 500


def test_one_stamp_far_ahead_costs_itself_and_not_all_that_follow() -> None:
    text = (
        HEADER
        + GOOD.format(15)
        + "2026-11-21 10:00:00+05:30,10,12,9,11,5\n"
        + "".join(map(GOOD.format, range(16, 30)))
    )

    found = parsed(text)

    assert [reject.line for reject in found.rejects] == [3]
    assert len(found.bars) == 15


def test_files_put_together_in_the_wrong_order_are_read() -> None:
    later, sooner = ("".join(map(GOOD.format, minutes)) for minutes in (range(30, 40), range(15, 25)))

    found = parsed(HEADER + later + sooner)

    assert (len(found.bars), found.rejected) == (20, 0)


def test_a_header_in_the_middle_is_no_row() -> None:
    assert parsed(HEADER + GOOD.format(15) + HEADER + GOOD.format(16)).rejected == 0


def test_sorting_may_be_asked_for() -> None:
    found = parsed(
        HEADER + GOOD.format(17) + GOOD.format(15) + GOOD.format(16) + GOOD.format(19), unordered="sort"
    )

    assert (len(found.bars), found.rejected) == (4, 0)


def test_rejected_rows_with_a_stamp_leave_a_hole() -> None:
    found = parsed(with_row("2026-11-20 09:16:00+05:30,nan,12,9,11,5"))

    assert found.holes.tolist() == [1_795_146_360 * 10**9]


@given(
    junk=st.text(
        alphabet=st.characters(codec="utf-8", exclude_characters="\r\n\x85\u2028\u2029"), max_size=80
    )
)
def test_no_line_can_hurt_its_neighbours(junk: str) -> None:
    found = parsed(HEADER + GOOD.format(15) + GOOD.format(16) + junk + "\n" + GOOD.format(17))

    assert {row[0] for row in rows_of(found)} >= {f"2026-11-20T03:4{minute}:00" for minute in (5, 6, 7)}


def test_many_parts_are_one_file() -> None:
    count = 50_000
    lines = [f"{1_577_836_800 + 60 * n},10,12,9,11,{n}\n" for n in range(count)]
    lines[30_000] = "x\n"

    found = parsed(HEADER + "".join(lines), "X.BINANCE")

    assert len(found.bars) == count - 1
    assert [reject.line for reject in found.rejects] == [30_002]
    assert found.bars["volume"].sum() == sum(range(count)) - 30_000
