"""Rules 1 to 12 of what a candle means, told as stories with values worked out by hand.

Every story runs on the machine and on its slow reference. Instants are seconds after 09:30 in
India on a Friday; `Story.kite` leaves each instrument with a snapshot of volume 1,000.
"""

import datetime as dt
import json
import math

import pytest

from mdingest.core.control import CandleSettings, VolumeKind
from mdingest.core.events import Flag, State
from mdingest.core.machine import Machine
from mdingest.core.records import Kind
from mdingest.core.session import Session, always_open
from tests.support.ledger import Ledger, Row
from tests.support.reference import Reference
from tests.support.tapes import (
    BINANCE,
    DAY_S,
    KITE,
    NOWHERE,
    NSE,
    OPEN_S,
    PREOPEN_S,
    UPSTOX,
    S,
    Story,
    Tape,
    cut,
    indian_days,
    ns,
    packet,
    subscription,
)

PREOPEN_GAP = (PREOPEN_S, 1.0, "start", 1000.0)
IST_MIDNIGHT = 52_200.0
CLOSE_S = 21_600.0  # 15:30 in India


@pytest.fixture(params=[Machine, Reference])
def story(request: pytest.FixtureRequest) -> Story:
    told = Story(request.param(CandleSettings(lateness_s=2.0, revise_s=10.0)))
    told.start()
    return told


def prices(row: Row | None) -> tuple[float, float, float, float]:
    assert row is not None
    return row["open"], row["high"], row["low"], row["close"]


def sure(row: Row | None) -> Row:
    assert row is not None
    return row


class TestRule1HalfOpenBuckets:
    def test_a_trade_at_the_edge_of_two_seconds_belongs_to_the_later(self, story: Story) -> None:
        story.kite(1).trade(1, 5.999, 101, 1010).trade(1, 6.0, 102, 1030).pass_to(10)

        assert sure(story.candle(1, 5))["volume"] == 10
        assert sure(story.candle(1, 6))["volume"] == 20

    def test_an_index_has_no_volume_rather_than_zero(self, story: Story) -> None:
        story.connect(1, KITE, subscription(1, VolumeKind.NONE))
        story.frame(1, packet(1, x=0, price=100)).at(5).frame(1, packet(1, x=5, price=101)).pass_to(8)

        assert sure(story.candle(1, 5))["volume"] is None

    def test_trades_count_the_updates_that_moved_it(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).trade(1, 5.1, 102, 1010).trade(1, 5.2, 103, 1011).pass_to(8)

        assert sure(story.candle(1, 5))["trades"] == 2  # the second packet showed no new volume


class TestRule2SecondsAndMinutes:
    def test_a_minute_is_the_merge_of_its_seconds_and_nothing_else_is_built(self, story: Story) -> None:
        story.kite(1).trade(1, 60, 101, 1001).trade(1, 75, 105, 1004).trade(1, 119, 99, 1010, oi=7.0)
        story.pass_to(122)

        minute = sure(story.candle(1, 60, 60))
        assert prices(minute) == (101, 105, 99, 99)
        assert (minute["volume"], minute["trades"], minute["oi"]) == (10, 3, 7)
        assert {key[2] for key in story.ledger.candles} == {1, 60}


class TestRule3EventTime:
    def test_a_trade_time_that_advanced_is_believed_however_old(self, story: Story) -> None:
        story.kite(1).at(8).frame(1, packet(1, t=3, x=8, price=101, volume=1010)).pass_to(12)

        assert sure(story.candle(1, 3))["flags"] == 0
        assert story.candle(1, 8) is None

    def test_a_trade_time_that_stands_still_is_believed_while_recent(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010)
        story.at(7).frame(1, packet(1, t=5, x=7, price=102, volume=1011)).pass_to(12)

        assert sure(story.candle(1, 5))["volume"] == 11

    def test_an_old_trade_time_that_stands_still_gives_way_to_the_packet_time(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010)
        story.at(8).frame(1, packet(1, t=5, x=8, price=102, volume=1011)).pass_to(12)

        assert sure(story.candle(1, 5))["volume"] == 10
        assert sure(story.candle(1, 8))["flags"] == Flag.PACKET_TIME

    @pytest.mark.parametrize(("at", "second", "flags"), [(7, 5, 0), (8, 8, Flag.PACKET_TIME)])
    def test_an_index_with_trade_times_is_no_exception(
        self, story: Story, at: int, second: int, flags: int
    ) -> None:
        story.connect(1, KITE, subscription(1, VolumeKind.NONE))
        story.frame(1, packet(1, t=-1, x=0, price=100)).at(5).frame(1, packet(1, t=5, x=5, price=101))
        story.at(at).frame(1, packet(1, t=5, x=at, price=102)).pass_to(11)

        assert sure(story.candle(1, second))["close"] == 102
        assert sure(story.candle(1, second))["flags"] == flags

    def test_without_stamps_the_feed_clock_places_it(self, story: Story) -> None:
        story.kite(1, 2).trade(2, 5, 50, 1001)
        story.at(6.4).frame(1, packet(1, price=102, volume=1011)).pass_to(12)

        assert sure(story.candle(1, 6))["flags"] == Flag.LOCAL_CLOCK

    def test_a_stamp_from_the_future_is_no_stamp(self, story: Story) -> None:
        story.kite(1, 2, 3).trade(2, 5, 50, 1001)
        story.at(6).frame(1, packet(1, t=86_400, x=6, price=102, volume=1011)).pass_to(12)

        assert sure(story.candle(1, 6))["flags"] == Flag.PACKET_TIME


class TestRule4ArrivalOrder:
    def test_within_one_stamp_the_first_to_arrive_opens_and_the_last_closes(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 103, 1001).trade(1, 5, 101, 1002).trade(1, 5, 102, 1003).pass_to(8)

        assert prices(story.candle(1, 5)) == (103, 103, 101, 102)

    def test_an_earlier_trade_that_arrives_later_still_opens(self, story: Story) -> None:
        story.connect(1, BINANCE, subscription(1, VolumeKind.TRADES))
        for number, (at, price) in enumerate([(5.0, 100), (6.8, 103), (6.2, 101)]):
            story.at(7).frame(1, packet(1, t=at, x=7, price=price, size=1.0, trade_id=number))
        story.pass_to(10)

        assert prices(story.candle(1, 6)) == (101, 103, 101, 103)


class TestRule5OnlyATradeMovesACandle:
    def test_a_price_without_new_volume_moves_nothing(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).trade(1, 6, 150, 1010).pass_to(70)

        assert story.candle(1, 6) is None
        assert prices(story.candle(1, 0, 60)) == (101, 101, 101, 101)

    def test_an_index_moves_when_its_exchange_time_is_new(self, story: Story) -> None:
        story.connect(1, KITE, subscription(1, VolumeKind.NONE)).frame(1, packet(1, x=0, price=100))
        for at, price in ((5, 101), (5, 109), (6, 102)):
            story.at(at).frame(1, packet(1, x=at, price=price))
        story.pass_to(70)

        assert prices(story.candle(1, 0, 60)) == (101, 102, 101, 102)

    def test_a_feed_of_trades_moves_with_each(self, story: Story) -> None:
        story.connect(1, BINANCE, subscription(1, VolumeKind.TRADES))
        story.at(5).frame(1, packet(1, t=5, x=5, price=100, size=2.5, trade_id=1))
        story.frame(1, packet(1, t=5, x=5, price=100, size=2.5, trade_id=2)).pass_to(8)

        assert (sure(story.candle(1, 5))["volume"], sure(story.candle(1, 5))["trades"]) == (5, 2)


class TestRule6Size:
    def test_size_is_what_the_days_volume_grew_by_not_the_last_quantity(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010, size=900.0).trade(1, 5, 101, 1013, size=900.0).pass_to(8)

        assert sure(story.candle(1, 5))["volume"] == 13

    def test_the_baseline_is_shared_by_the_feeds_connections(self, story: Story) -> None:
        story.kite(1, stream=1).connect(2, KITE, subscription(1))
        story.at(1).frame(2, packet(1, t=-10, x=1, price=100, volume=1000))
        story.trade(1, 5, 101, 1010, stream=1).trade(1, 5, 101, 1010, stream=2)
        story.trade(1, 5, 102, 1012, stream=2).pass_to(8)

        assert sure(story.candle(1, 5))["volume"] == 12

    def test_a_further_streams_snapshot_does_not_swallow_volume(self, story: Story) -> None:
        story.kite(1, stream=1).at(4).connect(2, KITE, subscription(1))
        story.frame(2, packet(1, t=3, x=4, price=101, volume=1007)).trade(1, 5, 101, 1010).pass_to(8)

        assert sure(story.candle(1, 5))["volume"] == 10

    def test_the_baseline_survives_a_restart(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).at(20).start().kite_again(1, 1025)
        story.trade(1, 25, 102, 1030).pass_to(28)

        assert sure(story.candle(1, 25))["volume"] == 5
        assert (5.0, 21.0, "crash", 15.0) in story.gaps(1)

    def test_a_smaller_volume_is_out_of_order_and_counted(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).trade(1, 5, 90, 1004).trade(1, 6, 102, 1011).pass_to(9)

        assert prices(story.candle(1, 5)) == (101, 101, 101, 101)
        assert sure(story.candle(1, 6))["volume"] == 1
        assert story.ledger.counts["out_of_order"] == 1

    def test_three_smaller_volumes_over_five_seconds_are_a_correction(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1500)
        for at, volume in ((10, 1400), (12, 1400), (15, 1401)):
            story.trade(1, at, 101, volume)
        story.trade(1, 16, 102, 1405).pass_to(63)

        assert sure(story.candle(1, 16))["volume"] == 4
        assert sure(story.candle(1, 5))["flags"] == Flag.VOLUME_SUSPECT
        assert sure(story.candle(1, 5))["revision"] == 0
        assert sure(story.candle(1, 0, 60))["flags"] & Flag.VOLUME_SUSPECT
        assert story.ledger.counts["out_of_order"] == 3

    def test_what_a_correction_swallowed_is_a_gap(self, story: Story) -> None:
        """Minutes of a thin instrument pass before its new total is believed."""
        story.kite(1).trade(1, 5, 101, 1500)
        for at, volume in ((70, 1400), (130, 1401), (190, 1402)):
            story.trade(1, at, 101, volume)
        story.trade(1, 195, 102, 1405).trade(1, 245, 102, 1406).pass_to(303)

        assert (5.0, 191.0, "trade_id", None) in story.gaps(1)
        assert sure(story.candle(1, 0, 60))["state"] == State.PARTIAL  # told before
        assert sure(story.candle(1, 180, 60))["state"] == State.PARTIAL
        assert sure(story.candle(1, 195))["state"] == State.FINAL
        assert sure(story.candle(1, 240, 60))["state"] == State.FINAL

    @pytest.mark.parametrize(
        "falls",
        [
            pytest.param([(10, 1400), (15, 1400)], id="only two"),
            pytest.param([(10, 1400), (12, 1400), (14.9, 1400)], id="in less than five seconds"),
            pytest.param([(10, 1400), (12, 1300), (15, 1300)], id="falling on"),
            pytest.param([(10, 1400), (12, 1500), (13, 1400), (15, 1400)], id="not in a row"),
        ],
    )
    def test_anything_less_is_no_correction(self, story: Story, falls: list[tuple[float, float]]) -> None:
        story.kite(1).trade(1, 5, 101, 1500)
        for at, volume in falls:
            story.trade(1, at, 101, volume)
        story.trade(1, 16, 102, 1505).pass_to(19)

        assert sure(story.candle(1, 16))["volume"] == 5
        assert sure(story.candle(1, 5))["flags"] == 0

    def test_falls_are_timed_by_the_monotonic_clock_not_the_wall(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1500).trade(1, 10, 101, 1400)
        story.tape.wall_error = 3_600.0
        story.trade(1, 11, 101, 1400).trade(1, 12, 101, 1400).trade(1, 16, 102, 1505).pass_to(20)

        assert sure(story.candle(1, 16))["volume"] == 5

    def test_falls_are_not_timed_across_a_restart(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1500).trade(1, 10, 101, 1400).trade(1, 11, 101, 1400)
        story.at(20).start().at(30).kite_again(1, 1400)  # monotonic 11 s, 12 s; from START on 1 s
        story.trade(1, 40, 101, 1400).trade(1, 41, 102, 1505).pass_to(44)

        assert sure(story.candle(1, 41))["volume"] == 5

    def test_on_a_new_trade_date_the_baseline_is_zero(self, story: Story) -> None:
        story.at(IST_MIDNIGHT - 20).kite(1).trade(1, IST_MIDNIGHT - 10, 101, 1010)
        story.pass_to(IST_MIDNIGHT + 4).trade(1, IST_MIDNIGHT + 5, 102, 7).pass_to(IST_MIDNIGHT + 8)

        assert sure(story.candle(1, int(IST_MIDNIGHT) + 5))["volume"] == 7

    def test_what_a_slow_stream_repeats_is_no_correction(self, story: Story) -> None:
        """It is old by the exchange's own stamps, however long it takes to come."""
        story.kite(1).connect(2, KITE, subscription(1))
        story.frame(2, packet(1, t=-10, x=0, price=100, volume=1000))
        for at in range(1, 7):
            story.trade(1, at, 101, 1000 + 10 * at)
        for at, told in ((7, 1), (10, 2), (13, 3), (16, 4), (19, 5), (22, 6)):
            story.at(at).frame(2, packet(1, t=told, x=told, price=101, volume=1000 + 10 * told))
        story.trade(1, 24, 101, 1063).pass_to(130)

        assert sure(story.candle(1, 0, 60))["volume"] == 63
        assert story.ledger.counts["out_of_order"] == 5
        assert story.gaps(1) == [PREOPEN_GAP]

    def test_a_total_that_fell_is_the_new_dates_if_the_exchange_clock_says_so(self, story: Story) -> None:
        story.at(IST_MIDNIGHT - 20).kite(1).trade(1, IST_MIDNIGHT - 10, 101, 1010)
        at = IST_MIDNIGHT + 5
        story.pass_to(at).frame(1, packet(1, t=IST_MIDNIGHT - 10, x=at, price=101, volume=0))
        story.trade(1, at + 2, 102, 4).pass_to(at + 6)

        assert sure(story.candle(1, int(at) + 2))["volume"] == 4
        assert story.ledger.counts["out_of_order"] == 0

    @pytest.mark.parametrize("before", [None, 900_000.0, 1_000_000.0])
    def test_a_total_without_stamps_before_the_open_is_the_last_sessions(
        self, story: Story, before: float | None
    ) -> None:
        """Kite's quotes have none: yesterday's total must not pass for today's, of which all is missing."""
        if before is not None:
            story.at(CLOSE_S - DAY_S - 1_800).connect(1, KITE, subscription(1))
            story.frame(1, packet(1, price=99, volume=before)).disconnect(1, "stop")
            story.at(OPEN_S - 2_700).start()
        story.at(OPEN_S - 2_700).connect(2, KITE, subscription(1))
        story.frame(2, packet(1, price=100, volume=1_000_000.0))
        totals = (500.0, 800.0, 1200.0, 1500.0, 2000.0, 2600.0, 3000.0, 3300.0)
        for number, volume in enumerate(totals, 1):
            story.at(OPEN_S + number).frame(2, packet(1, price=100 + number, volume=volume))
        story.at(OPEN_S + 65).tick().frame(2, packet(1, price=108, volume=3300.0))

        minute = sure(story.candle(1, int(OPEN_S), 60))
        assert (minute["open"], minute["volume"], minute["trades"]) == (101, 3300, 8)
        assert story.ledger.counts["out_of_order"] == 0
        passed = [gap[3] for gap in story.gaps(1) if gap[1] == OPEN_S - 2_699]
        assert passed == ([] if before is None else [1_000_000 - before])

    def test_it_is_fridays_on_monday_morning(self, story: Story) -> None:
        monday = 3 * DAY_S
        story.at(CLOSE_S - 1_800).connect(1, KITE, subscription(1))
        story.frame(1, packet(1, price=99, volume=900_000.0)).disconnect(1, "stop")
        story.at(OPEN_S - 2_700 + monday).start().connect(2, KITE, subscription(1))
        story.frame(2, packet(1, price=100, volume=1_000_000.0))

        assert story.gaps(1)[-1][3] == 100_000

    def test_a_total_that_fell_before_the_open_is_the_new_dates(self, story: Story) -> None:
        at = OPEN_S - 2_700
        story.at(at - DAY_S / 2).connect(1, KITE, subscription(1))
        story.frame(1, packet(1, price=99, volume=1_000.0))
        story.at(at).frame(1, packet(1, price=99, volume=0.0))
        story.at(OPEN_S + 1).frame(1, packet(1, price=101, volume=1_500.0)).pass_to(OPEN_S + 5)

        assert sure(story.candle(1, int(OPEN_S) + 1))["volume"] == 1_500

    def test_a_size_without_a_price_waits_for_the_next_packet(self, story: Story) -> None:
        story.kite(1).trade(1, 5, math.nan, 1010).trade(1, 6, 101, 1011).pass_to(9)

        assert story.candle(1, 5) is None
        assert sure(story.candle(1, 6))["volume"] == 11


class TestRule7Snapshots:
    def test_the_first_packet_of_a_stream_touches_no_candle(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).pass_to(63)

        assert {key[3] for key in story.ledger.candles if key[2] == 1} == {sure(story.candle(1, 5))["ts"]}
        assert sure(story.candle(1, 0, 60))["volume"] == 10

    def test_volume_that_passed_while_we_were_away_is_in_the_gap(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).at(9).disconnect(1).at(30).kite_again(1, 1100, t=20)
        story.trade(1, 35, 102, 1107).pass_to(38)

        assert story.gaps(1) == [PREOPEN_GAP, (5.0, 31.0, "disconnect", 90.0)]
        assert sure(story.candle(1, 35))["volume"] == 7

    def test_a_trade_since_the_subscription_counts_with_its_price_and_unknown_size(
        self, story: Story
    ) -> None:
        story.connect(1, KITE, subscription(1))
        story.at(5.5).frame(1, packet(1, t=5, x=5, price=101, volume=400)).pass_to(5.6)
        story.frame(1, packet(1, t=5, x=5, price=101, volume=400)).pass_to(9)

        candle = sure(story.candle(1, 5))
        assert (candle["close"], candle["volume"], candle["flags"]) == (101, 0, Flag.SIZE_UNKNOWN)
        assert candle["state"] == State.PARTIAL
        assert story.gaps(1) == [(PREOPEN_S, 6.0, "start", 400.0)]

    @pytest.mark.parametrize("wrong", ["an hour slow", "an hour fast", "monotonic stood still"])
    def test_no_clock_that_is_wrong_makes_a_trade_of_the_outage_one_since_the_subscription(
        self, story: Story, wrong: str
    ) -> None:
        story.kite(1).trade(1, 5, 101, 1010).at(9).disconnect(1)
        story.tape.wall_error = {"an hour slow": -3_600.0, "an hour fast": 3_600.0}.get(wrong, 0.0)
        story.tape.mono_zero += 3_600.0 if wrong == "monotonic stood still" else 0.0
        story.at(3_609).kite_again(1, 1100, t=3_600).pass_to(3_700)

        assert story.candle(1, 3_600) is None
        assert [(gap[2], gap[3]) for gap in story.gaps(1)] == [("start", 1000.0), ("disconnect", 90.0)]

    def test_it_counts_with_its_size_if_subscribed_before_the_first_session(self, story: Story) -> None:
        story.at(PREOPEN_S - 60).connect(1, KITE, subscription(1))
        at = PREOPEN_S + 5
        story.at(at).frame(1, packet(1, t=at, x=at, price=101, volume=400))
        story.trade(1, at + 1, 102, 410).pass_to(at + 5)

        first = sure(story.candle(1, int(at)))
        assert (first["volume"], first["flags"]) == (400, 0)
        assert story.gaps(1) == [(PREOPEN_S, at + 1, "start", 0.0)]

    def test_a_total_of_yesterday_says_nothing_of_what_passed_today(self, story: Story) -> None:
        """An instrument that has not traded today, met for the first time."""
        story.connect(1, KITE, subscription(1))
        story.frame(1, packet(1, t=OPEN_S - DAY_S + 100, x=0, price=100, volume=9_000))
        story.trade(1, 5, 101, 25).pass_to(10)

        assert story.gaps(1) == [(PREOPEN_S, 1.0, "start", 0.0)]
        assert sure(story.candle(1, 5))["volume"] == 25

    def test_a_stale_snapshot_does_not_lower_the_baseline(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).disconnect(1).at(8).kite_again(1, 1003)
        story.trade(1, 12, 102, 1011).pass_to(15)

        assert sure(story.candle(1, 12))["volume"] == 1
        assert story.ledger.counts["out_of_order"] == 1

    def test_a_feed_of_trades_has_no_snapshots(self, story: Story) -> None:
        story.connect(1, BINANCE, subscription(1, VolumeKind.TRADES))
        story.at(5).frame(1, packet(1, t=5, x=5, price=100, size=2.0, trade_id=1)).pass_to(8)

        assert sure(story.candle(1, 5))["volume"] == 2
        assert sure(story.candle(1, 5))["state"] == State.PARTIAL  # of its second we heard a part

    def test_a_packet_without_volume_is_no_snapshot(self, story: Story) -> None:
        """Kite's shortest packets have a price alone: they don't tell what passed while we were away."""
        story.kite(1).trade(1, 5, 101, 1010).at(9).disconnect(1).at(30).connect(2, KITE, subscription(1))
        story.frame(2, packet(1, price=101)).at(32).frame(2, packet(1, price=101))
        story.trade(1, 35, 102, 1100, stream=2).trade(1, 36, 103, 1103, stream=2).pass_to(40)

        assert sure(story.candle(1, 35))["volume"] == 0
        assert sure(story.candle(1, 35))["flags"] == Flag.SIZE_UNKNOWN
        assert sure(story.candle(1, 36))["volume"] == 3
        assert story.gaps(1) == [PREOPEN_GAP, (5.0, 36.0, "disconnect", 90.0)]
        assert story.coverage(1) == [(1.0, 5.0), (36.0, math.inf)]

    def test_after_a_mute_spell_the_next_packet_is_a_snapshot_again(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).at(25).silence(1)
        story.at(30).frame(1, packet(1, t=24, x=30, price=101, volume=1050))
        story.trade(1, 32, 102, 1051).pass_to(35)

        assert story.candle(1, 24) is None
        assert sure(story.candle(1, 32))["volume"] == 1
        assert (5.0, 31.0, "mute", 40.0) in story.gaps(1)


class TestRule8Extremes:
    def test_a_days_high_that_moved_goes_to_the_candle_of_the_trade(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010, day_high=110.0, day_low=90.0)
        story.trade(1, 5.5, 102, 1020, day_high=112.0, day_low=89.0).pass_to(9)

        assert prices(story.candle(1, 5)) == (101, 112, 89, 102)
        assert sure(story.candle(1, 5))["flags"] == 0

    def test_it_is_ambiguous_if_the_packet_before_lies_in_an_earlier_second(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010, day_high=110.0).trade(1, 6, 102, 1020, day_high=112.0)
        story.pass_to(9)

        assert sure(story.candle(1, 6))["high"] == 112
        assert sure(story.candle(1, 6))["flags"] == Flag.EXTREME_AMBIGUOUS

    def test_a_packet_that_moves_no_candle_gives_it_to_none(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010, day_high=110.0).trade(1, 5.2, 101, 1010, day_high=112.0)
        story.trade(1, 5.4, 102, 1020, day_high=112.0).pass_to(9)

        assert sure(story.candle(1, 5))["high"] == 102

    def test_an_indexs_low_goes_to_its_candle_too(self, story: Story) -> None:
        story.connect(1, KITE, subscription(1, VolumeKind.NONE))
        for at, low in ((0, 95.0), (5, 94.0), (6, 94.0)):
            story.at(at).frame(1, packet(1, x=at, price=100.0, day_high=110.0, day_low=low))
        story.pass_to(9)

        assert (sure(story.candle(1, 5))["low"], sure(story.candle(1, 5))["flags"] & 8) == (94, 8)
        assert (sure(story.candle(1, 6))["low"], sure(story.candle(1, 6))["flags"] & 8) == (100, 0)

    def test_it_is_compared_with_the_same_stream_only(self, story: Story) -> None:
        story.kite(1, stream=1).connect(2, KITE, subscription(1))
        story.trade(1, 5, 101, 1010, day_high=110.0)
        story.frame(2, packet(1, t=-10, x=5, price=100, volume=1010, day_high=115.0))
        story.trade(1, 5.5, 102, 1020, stream=2, day_high=115.0).pass_to(9)

        assert sure(story.candle(1, 5))["high"] == 102


class TestRule9Closing:
    def test_a_candle_closes_without_another_tick(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010)

        assert story.pass_to(7.9).emitted(1) == []
        assert story.pass_to(8.0).emitted(1) == [5]

    def test_a_packet_of_any_instrument_turns_the_feeds_clock(self, story: Story) -> None:
        story.kite(1, 2).trade(1, 5, 101, 1010)

        assert story.trade(2, 7, 50, 1001).emitted(1) == []
        assert story.trade(2, 8, 50, 1002).emitted(1) == [5]

    def test_a_jump_needs_the_wall_clock_to_agree(self, story: Story) -> None:
        story.kite(1, 2, 3, 4).trade(1, 5, 101, 1010)
        story.at(6).frame(1, packet(2, t=-5, x=40, price=50, volume=1000))
        assert story.emitted(1) == []

        story.at(40).frame(1, packet(2, t=-5, x=40, price=50, volume=1000))
        assert story.emitted(1) == [5]

    def test_or_three_instruments(self, story: Story) -> None:
        story.tape.wall_error = -300.0
        story.kite(1, 2, 3, 4).at(5)
        for number in (1, 2, 3):
            story.frame(1, packet(number, t=5, x=5, price=101, volume=1010))
        for number, expected in ((1, []), (2, []), (3, [5])):
            story.at(100).frame(1, packet(number, t=99, x=100, price=101, volume=1011))
            assert [second for second in story.emitted(3) if second == 5] == expected

    @pytest.mark.parametrize(("stamp", "closed"), [(10.0, [5]), (10.001, [])])
    def test_what_a_jump_is(self, story: Story, stamp: float, closed: list[int]) -> None:
        story.tape.wall_error = -300.0
        story.kite(1, 2, 3, 4).at(5)
        for number in (1, 2, 3):
            story.frame(1, packet(number, t=5, x=5, price=101, volume=1010))

        story.at(10).frame(1, packet(4, t=5, x=stamp, price=50, volume=1000))

        assert story.emitted(3) == closed

    def test_or_all_if_there_are_fewer(self, story: Story) -> None:
        story.tape.wall_error = -300.0
        story.kite(1).trade(1, 5, 101, 1010)

        assert story.trade(1, 100, 101, 1011).emitted(1) == [5]

    def test_witnesses_need_not_speak_at_once(self, story: Story) -> None:
        """A thin feed on a host whose wall clock is wrong: no two stamps within a second."""
        story.tape.wall_error = 30.0
        story.kite(1, 2, 3, 4)
        story.trade(1, 4, 101, 1010).trade(2, 8, 101, 1010)
        assert story.pass_to(11).emitted(1) == []

        assert story.trade(3, 12, 101, 1010).emitted(1) == [4]
        assert story.pass_to(15).emitted(3) == [12]

    def test_one_wrong_stamp_told_again_and_again_is_no_time(self, story: Story) -> None:
        """It stands still, as no clock does, whoever tells it."""
        story.kite(1, 2, 3, 4).trade(1, 5, 101, 1010)
        for number, at in ((1, 6), (2, 8), (3, 10), (4, 12)):
            story.at(at).frame(1, packet(number, t=-5, x=90_000, price=101, volume=1010))

        story.trade(1, 13, 102, 1011).pass_to(15.9)
        assert story.candle(1, 13) is None
        assert story.pass_to(16).emitted(1) == [13]

    def test_a_witness_of_two_hours_ago_is_none(self, story: Story) -> None:
        story.kite(1, 2, 3, 4).trade(1, 5, 101, 1010)
        story.at(6).frame(1, packet(1, t=-5, x=96, price=101, volume=1010))
        for number in (2, 3):
            story.at(7_200).frame(1, packet(number, t=-5, x=7_290, price=101, volume=1000))
        story.at(7_200).frame(1, packet(4, t=7_200, x=7_200, price=101, volume=1010))

        assert story.emitted(4) == []
        assert story.pass_to(7_203).emitted(4) == [7_200]

    def test_the_only_instrument_that_speaks_is_believed_after_a_minute(self, story: Story) -> None:
        story.tape.wall_error = 30.0
        story.kite(1, 2, 3, 4)
        for at in range(4, 64, 4):
            assert story.trade(1, at, 101, 1000 + at).emitted(1) == []

        assert story.trade(1, 64, 101, 1064).emitted(1) == list(range(4, 62, 4))
        assert story.pass_to(67).emitted(1) == [64]
        assert story.coverage(1) == [(31.0, math.inf)]  # nobody can tell that the wall is fast

    def test_but_not_against_another_or_a_clock_that_the_feed_confirmed(self, story: Story) -> None:
        story.tape.wall_error = 30.0
        story.kite(1, 2, 3, 4)
        for at in range(4, 100, 4):
            story.trade(1, at, 101, 1000 + at)
            if at < 60:
                story.frame(1, packet(2, t=at - 20, x=at - 20, price=101, volume=1000 + at))
        assert story.candle(1, 4) is None

        story.tape.wall_error = 0.0
        story.trade(3, 100, 101, 1001)  # the wall clock agrees
        for at in range(104, 200, 4):
            story.at(at).frame(1, packet(4, t=-5, x=at + 900, price=101, volume=1000))
        assert story.trade(3, 200, 101, 1002).emitted(3) == [100]
        assert story.pass_to(203).emitted(3) == [200]

    def test_a_snapshot_never_sets_the_clock(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).connect(2, KITE, subscription(2))
        story.at(9).frame(2, packet(2, t=8, x=9, price=50, volume=1000))

        assert story.emitted(1) == []

    def test_a_feed_without_exchange_times_runs_on_its_first_wall_time(self, story: Story) -> None:
        story.connect(1, UPSTOX, subscription(1)).frame(1, packet(1, price=100, volume=1000))
        story.at(5).frame(1, packet(1, price=101, volume=1010))
        story.tape.wall_error = 3_600.0
        story.at(6).frame(1, packet(1, price=102, volume=1020)).pass_to(9)

        assert sure(story.candle(1, 6))["volume"] == 10

    def test_and_on_a_new_wall_time_after_a_restart(self, story: Story) -> None:
        story.connect(1, UPSTOX, subscription(1)).frame(1, packet(1, price=100, volume=1000))
        story.at(5).frame(1, packet(1, price=101, volume=1010))
        story.at(600).start().connect(1, UPSTOX, subscription(1))
        story.frame(1, packet(1, price=101, volume=1010)).at(605)
        story.frame(1, packet(1, price=102, volume=1020)).pass_to(608)

        assert sure(story.candle(1, 605))["volume"] == 10

    def test_a_trade_after_the_close_revises_both_intervals(self, story: Story) -> None:
        story.kite(1, 2).trade(1, 58, 101, 1010).pass_to(64)
        story.at(64).frame(1, packet(1, t=59, x=64, price=105, volume=1015))
        story.frame(1, packet(1, t=59, x=64, price=104, volume=1016))

        minute = sure(story.candle(1, 0, 60))
        assert (prices(minute), minute["volume"], minute["revision"]) == ((101, 105, 101, 105), 15, 1)
        assert (sure(story.candle(1, 59))["revision"], sure(story.candle(1, 58))["revision"]) == (0, 0)

    def test_a_row_is_revised_once_a_batch(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).pass_to(8.5)
        late = [packet(1, t=5, x=7, price=101 + n, volume=1011 + n) for n in range(3)]
        story.frame(1, *late)

        candle = sure(story.candle(1, 5))
        assert (candle["volume"], candle["revision"]) == (13, 1)

    def test_the_last_instant_at_which_a_candle_can_be_revised(self, story: Story) -> None:
        story.kite(1, 2).trade(1, 5, 101, 1010).trade(2, 18, 50, 1001)  # 5 + 1 + 2 + 10
        story.frame(1, packet(1, t=5.5, x=18, price=102, volume=1011))

        assert sure(story.candle(1, 5))["volume"] == 11
        assert story.ledger.counts["late"] == 0

    @pytest.mark.parametrize(("at", "late"), [(18.0, 0), (18.001, 1)])
    def test_the_same_instant_holds_for_an_index(self, story: Story, at: float, late: int) -> None:
        story.kite(2).subscribe(1, subscription(1, VolumeKind.NONE))
        story.frame(1, packet(1, x=0, price=100)).trade(2, at, 50, 1001)
        story.frame(1, packet(1, x=5.5, price=101))

        assert story.ledger.counts["late"] == late

    def test_open_interest_of_one_stamp_is_the_last_that_arrived(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010, oi=40.0).pass_to(8)
        story.frame(1, packet(1, t=5, x=7, price=101, volume=1011, oi=41.0))

        assert sure(story.candle(1, 5))["oi"] == 41

    def test_later_than_that_it_is_counted_and_a_gap(self, story: Story) -> None:
        story.kite(1, 2).trade(1, 5, 101, 1010).pass_to(63).trade(2, 63.1, 50, 1001)
        story.frame(1, packet(1, t=5.5, x=63.1, price=102, volume=1017))

        assert sure(story.candle(1, 5))["volume"] == 10
        assert sure(story.candle(1, 5))["state"] == State.PARTIAL
        assert sure(story.candle(1, 0, 60))["state"] == State.PARTIAL
        assert (5.0, 6.0, "late", 7.0) in story.gaps(1)
        assert story.ledger.counts["late"] == 1

    def test_late_trades_of_one_second_add_up_in_its_gap(self, story: Story) -> None:
        story.connect(1, BINANCE, subscription(1, VolumeKind.TRADES))
        for number, at in enumerate((5.0, 40.0, 10.0, 10.5)):
            story.at(40).frame(1, packet(1, t=at, x=40, price=100, size=2.0, trade_id=number))

        assert (10.0, 11.0, "late", 4.0) in story.gaps(1)

    def test_lateness_is_judged_packet_by_packet_within_a_batch(self, story: Story) -> None:
        story.kite(1, 2).trade(1, 5, 101, 1010)
        story.tape.at(30)
        story.frame(
            1,
            packet(1, t=6, x=6, price=102, volume=1011),  # the clock still shows 5
            packet(2, t=30, x=30, price=50, volume=1001),
            packet(1, t=7, x=30, price=103, volume=1012),
        )

        assert sure(story.candle(1, 6))["volume"] == 1
        assert story.candle(1, 7) is None
        assert (7.0, 8.0, "late", 1.0) in story.gaps(1)


class TestRule10Partial:
    def test_a_gap_found_afterwards_demotes_stored_candles(self, story: Story) -> None:
        story.kite(1).kite(2, stream=2).trade(2, 5, 50, 1001, stream=2).trade(1, 5, 101, 1010).pass_to(8)
        assert sure(story.candle(1, 5))["state"] == State.FINAL

        story.at(20).silence(1)

        assert sure(story.candle(1, 5))["state"] == State.PARTIAL
        assert sure(story.candle(1, 5))["revision"] == 0
        assert sure(story.candle(2, 5))["state"] == State.FINAL

    def test_a_mute_socket_is_a_gap_from_its_last_data_frame(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).at(8).frame(1).at(12).frame(1).at(20).silence(1)

        assert story.gaps(1) == [PREOPEN_GAP, (5.0, math.inf, "mute", None)]

    def test_candles_in_a_gap_are_partial_and_those_after_it_are_not(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).disconnect(1).at(8).kite_again(1, 1010)
        story.trade(1, 8.5, 101, 1011).trade(1, 9, 101, 1012).pass_to(65)

        assert [sure(story.candle(1, second))["state"] for second in (5, 8, 9)] == [
            State.PARTIAL,
            State.PARTIAL,
            State.FINAL,
        ]
        assert sure(story.candle(1, 0, 60))["state"] == State.PARTIAL

    def test_an_undecodable_frame_is_a_gap_of_its_stream_at_that_instant(self, story: Story) -> None:
        story.kite(1, 2).connect(2, KITE, subscription(3))
        story.trade(1, 5, 101, 1010).pass_to(8).frame(1, bad=True)

        assert (8.0, 9.0, "undecodable", None) in story.gaps(1)
        assert (8.0, 9.0, "undecodable", None) in story.gaps(2)
        assert story.gaps(3) == []

    @pytest.mark.parametrize(("kind", "cause"), [(Kind.SHED, "shed"), (Kind.QUARANTINE, "quarantine")])
    def test_frames_given_up_are_a_gap_of_their_stream_until_it_speaks_again(
        self, story: Story, kind: Kind, cause: str
    ) -> None:
        """What was traded in them lies in the gap, and no candle takes it."""
        story.kite(1).kite_again(2, 500, stream=2)
        story.trade(1, 5, 101, 1010).pass_to(9).at(9.2).lost(1, kind)
        story.at(20).frame(1, packet(1, t=19, x=20, price=101, volume=1050))
        story.trade(1, 22, 101, 1053).pass_to(26)

        assert [gap for gap in story.gaps(1) if gap[2] == cause] == [(5.0, 21.0, cause, 40.0)]
        assert sure(story.candle(1, 5))["state"] == State.PARTIAL
        assert sure(story.candle(1, 22))["volume"] == 3
        assert sure(story.candle(1, 22))["state"] == State.FINAL
        assert not [gap for gap in story.gaps(2) if gap[2] == cause]

    def test_frames_of_nobody_in_particular_are_a_gap_of_every_stream(self, story: Story) -> None:
        story.kite(1).kite_again(2, 500, stream=2).at(9).lost(0)

        assert [[gap[2] for gap in story.gaps(number)][-1] for number in (1, 2)] == ["shed", "shed"]

    def test_undecodable_frames_in_a_row_are_one_gap(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010)
        for at in (8, 10, 15, 30):
            story.pass_to(at).frame(1, bad=True)

        gaps = [gap for gap in story.gaps(1) if gap[2] == "undecodable"]
        assert gaps == [(8.0, 16.0, "undecodable", None), (30.0, 31.0, "undecodable", None)]

    def test_volume_that_a_damaged_frame_may_have_held_lies_in_its_gap_when_it_shows(
        self, story: Story
    ) -> None:
        story.kite(1).trade(1, 5, 101, 1010).frame(1, bad=True).trade(1, 9, 101, 1030).trade(1, 10, 101, 1031)
        story.pass_to(13)

        assert (5.0, 10.0, "undecodable", None) in story.gaps(1)
        assert sure(story.candle(1, 9))["state"] == State.PARTIAL
        assert sure(story.candle(1, 10))["state"] == State.FINAL

    def test_a_damaged_frame_may_have_told_of_a_trade_as_old_as_the_next_ones(self, story: Story) -> None:
        """The trade that it held is in the volume of the next packet, whose time is its own."""
        story.kite(1).trade(1, 2, 101, 1010).pass_to(5).frame(1, bad=True)
        story.at(5.5).frame(1, packet(1, t=3, x=5, price=101, volume=1050)).pass_to(8)

        assert sure(story.candle(1, 3))["state"] == State.PARTIAL
        assert (3.0, 6.0, "undecodable", None) in story.gaps(1)
        assert sure(story.candle(1, 2))["state"] == State.FINAL

    def test_the_good_packets_of_a_damaged_frame_count(self, story: Story) -> None:
        story.kite(1).at(5).frame(1, packet(1, t=5, x=5, price=101, volume=1010), bad=True).pass_to(8)

        assert sure(story.candle(1, 5))["volume"] == 10
        assert sure(story.candle(1, 5))["state"] == State.PARTIAL

    def test_forming_candles_are_never_stored(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).pass_to(7.5)

        assert story.ledger.candles == {}


class TestRule11Coverage:
    def test_coverage_runs_from_the_snapshot_to_the_last_frame_rounded_inward(self, story: Story) -> None:
        story.at(0.3).kite(1).trade(1, 5.9, 101, 1010).at(9).disconnect(1)

        assert story.coverage(1) == [(1.0, 5.0)]

    def test_a_heartbeat_proves_that_we_still_heard(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).at(8.7).frame(1).at(20).disconnect(1)

        assert story.coverage(1) == [(1.0, 8.0)]

    def test_what_a_line_that_fell_behind_still_held_when_it_was_cut_was_not_heard(
        self, story: Story
    ) -> None:
        late = packet(1, t=6, x=6, price=102, volume=1030)
        story.kite(1).trade(1, 5, 101, 1010).at(8.9).tick().at(9).frame(1, late).disconnect(1)

        assert story.coverage(1) == [(1.0, 6.0)]
        assert (6.0, math.inf, "disconnect", None) in story.gaps(1)

    def test_nor_does_a_heartbeat_on_such_a_line_prove_it(self, story: Story) -> None:
        late = packet(1, t=6, x=6, price=102, volume=1030)
        story.kite(1).trade(1, 5, 101, 1010).at(8.9).tick().at(9).frame(1, late).at(11.5).frame(1).disconnect(
            1
        )

        assert story.coverage(1) == [(1.0, 8.0)]

    def test_a_line_that_caught_up_is_heard_as_before(self, story: Story) -> None:
        late = packet(1, t=6, x=6, price=102, volume=1030)
        story.kite(1).trade(1, 5, 101, 1010).at(8.9).tick().at(9).frame(1, late).trade(
            1, 12, 102, 1031
        ).disconnect(1)

        assert story.coverage(1) == [(1.0, 12.0)]

    def test_another_streams_packets_do_not_prove_it(self, story: Story) -> None:
        story.kite(1, stream=1).kite(2, stream=2).trade(1, 5, 101, 1010).trade(2, 20, 50, 1001, stream=2)
        story.disconnect(1)

        assert story.coverage(1) == [(1.0, 5.0)]
        assert (5.0, math.inf, "disconnect", None) in story.gaps(1)

    def test_coverage_goes_on_while_another_stream_carries_the_instrument(self, story: Story) -> None:
        story.kite(1, stream=1).connect(2, KITE, subscription(1))
        story.at(2).frame(2, packet(1, t=-10, x=2, price=100, volume=1000))
        story.trade(1, 5, 101, 1010).disconnect(1).trade(1, 9, 101, 1015, stream=2).disconnect(2)

        assert story.coverage(1) == [(1.0, 9.0)]
        assert story.gaps(1) == [PREOPEN_GAP, (9.0, math.inf, "disconnect", None)]

    def test_a_crash_writes_nothing_and_is_still_a_gap(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010).at(60).start()
        assert story.gaps(1) == [PREOPEN_GAP, (5.0, math.inf, "crash", None)]

        story.at(70).kite_again(1, 1080)
        assert story.gaps(1) == [PREOPEN_GAP, (5.0, 71.0, "crash", 70.0)]

    def test_a_stale_snapshot_starts_uptime_at_the_clock_not_at_its_own_stamp(self, story: Story) -> None:
        story.at(30).connect(1, KITE, subscription(1))
        story.frame(1, packet(1, t=-500, x=-400, price=100, volume=1000))

        assert story.coverage(1) == [(31.0, math.inf)]

    def test_uptime_allows_for_stamps_that_are_cut_to_whole_seconds(self, story: Story) -> None:
        story.tape.wall_error = -300.0  # the wall clock can't help
        story.kite(1, 2, 3).at(5)
        for number in (1, 2, 3):
            story.frame(1, packet(number, t=5, x=5, price=101, volume=1010))
        story.at(8.9).connect(2, KITE, subscription(4))
        story.frame(2, packet(4, t=8, x=8, price=100, volume=1000))

        assert story.coverage(4) == [(10.0, math.inf)]

    def test_uptime_that_began_by_a_slow_wall_clock_begins_where_the_feed_says_it_did(
        self, story: Story
    ) -> None:
        """A machine without a battery wakes in the past: it must not claim the time it slept."""
        story.kite(1).trade(1, 5, 101, 1010).pass_to(10)
        story.tape.at(3_600).wall_error = -3_590.0
        story.start().kite_again(1, 1_500, t=3_590.0, stream=2)
        assert story.coverage(1)[-1] == (11.0, math.inf)

        story.tape.at(3_610)
        story.trade(1, 3_612, 102, 1_503, stream=2).trade(1, 3_613, 102, 1_504, stream=2).pass_to(3_620)

        assert story.coverage(1) == [(1.0, 5.0), (3_601.0, math.inf)]
        assert (5.0, 3_601.0, "crash", 490.0) in story.gaps(1)
        assert sure(story.candle(1, 3_612))["state"] == State.FINAL

    def test_the_same_where_nothing_was_heard_before(self, story: Story) -> None:
        story.tape.wall_error = -86_400.0 * 365
        story.start().kite(1).trade(1, 5, 101, 1010).pass_to(10)

        assert story.coverage(1) == [(1.0, math.inf)]
        assert story.gaps(1) == [(PREOPEN_S, 1.0, "start", 1000.0)]

    def test_a_minute_without_a_trade_has_no_row_and_is_no_gap(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010)
        for at in range(10, 190, 5):
            story.pass_to(at).frame(1)
        story.trade(1, 185, 101, 1011).pass_to(250)

        minutes = sorted(key[3] for key in story.ledger.candles if key[2] == 60)
        assert len(minutes) == 2
        assert story.gaps(1) == [PREOPEN_GAP]

    def test_before_the_first_session_nothing_was_missed(self, story: Story) -> None:
        story.at(PREOPEN_S - 600).kite(1)

        assert story.gaps(1) == []

    def test_an_instrument_that_was_not_wanted_for_a_while_has_that_gap(self, story: Story) -> None:
        story.kite(1, 2).trade(1, 5, 101, 1010).at(10).frame(1).unsubscribe(1, subscription(1))
        assert story.gaps(1) == [PREOPEN_GAP]

        story.at(50).subscribe(1, subscription(1))
        story.frame(1, packet(1, t=40, x=50, price=100, volume=1030))

        assert story.gaps(1) == [PREOPEN_GAP, (10.0, 51.0, "unsubscribed", 20.0)]
        assert story.coverage(1) == [(1.0, 10.0), (51.0, math.inf)]

    def test_silence_before_an_unsubscription_is_not_claimed_as_heard(self, story: Story) -> None:
        story.kite(1).trade(1, 5, 101, 1010)
        for at in range(6, 26):
            story.pass_to(at)
        story.unsubscribe(1, subscription(1))

        assert story.coverage(1) == [(1.0, 5.0)]

    def test_trade_ids_that_join_prove_that_nothing_was_missed(self, story: Story) -> None:
        coin = subscription(1, VolumeKind.TRADES)
        story.connect(1, BINANCE, coin)
        story.at(5).frame(1, packet(1, t=5, x=5, price=100, size=1.0, trade_id=7)).disconnect(1)
        story.at(60).connect(2, BINANCE, coin)
        story.frame(2, packet(1, t=59.9, x=60, price=100, size=1.0, trade_id=8))

        assert [gap for gap in story.gaps(1) if gap[2] != "start"] == []
        assert story.coverage(1) == [(6.0, math.inf)]

    def test_a_first_trade_that_comes_late_proves_nothing_of_the_time_since(self, story: Story) -> None:
        story.at(20).connect(1, BINANCE, subscription(1, VolumeKind.TRADES))
        story.at(21).frame(1, packet(1, t=12, x=21.0, price=100, size=1.0, trade_id=5)).pass_to(30)

        assert story.coverage(1) == [(22.0, math.inf)]
        assert sure(story.candle(1, 12))["state"] == State.PARTIAL

    def test_trade_ids_that_do_not_join_are_a_gap(self, story: Story) -> None:
        coin = subscription(1, VolumeKind.TRADES)
        story.connect(1, BINANCE, coin)
        for at, traded, number in ((5.0, 5.0, 7), (6.0, 5.0, 7), (8.5, 8.5, 12)):
            story.at(at).frame(1, packet(1, t=traded, x=at, price=100, size=1.0, trade_id=number))

        assert (5.0, 9.0, "trade_id", None) in story.gaps(1)
        assert story.ledger.counts["duplicate"] == 1

    @pytest.mark.parametrize(
        "wild", [pytest.param([(1 << 62) - 1], id="one wild id"), pytest.param([], id="anew")]
    )
    def test_ids_below_the_last_with_later_trade_times_are_trades_behind_a_gap(
        self, story: Story, wild: list[int]
    ) -> None:
        """A wild id, or a venue that counts anew, must not turn all that follows into duplicates."""
        story.connect(1, BINANCE, subscription(1, VolumeKind.TRADES))
        after = [102, 103, 104] if wild else [1, 2, 3]
        for at, number in enumerate([100, 101, *wild, *after], 5):
            story.at(at).frame(1, packet(1, t=at, x=at, price=100, size=2.0, trade_id=number))
        story.frame(1, packet(1, t=at, x=at, price=100, size=2.0, trade_id=number)).pass_to(20)

        first = 7 + len(wild)
        assert [sure(story.candle(1, first + n))["volume"] for n in range(3)] == [2, 2, 2]
        assert sure(story.candle(1, first))["state"] == State.PARTIAL
        assert sure(story.candle(1, first + 1))["state"] == State.FINAL
        assert (first - 1, first + 1, "trade_id", None) in story.gaps(1)
        assert story.ledger.counts["duplicate"] == 1

    def test_trades_told_again_after_a_reconnect_are_duplicates(self, story: Story) -> None:
        coin = subscription(1, VolumeKind.TRADES)
        story.connect(1, BINANCE, coin)
        ids = ((5.0, 7), (6.0, 8), (6.0, 9))  # two within one millisecond
        for at, number in ids:
            story.at(at).frame(1, packet(1, t=at, x=at, price=100, size=1.0, trade_id=number))
        story.disconnect(1).at(7).connect(2, BINANCE, coin)
        for at, number in ids:
            story.frame(2, packet(1, t=at, x=7, price=100, size=1.0, trade_id=number))
        story.at(8).frame(2, packet(1, t=8, x=8, price=100, size=1.0, trade_id=10)).pass_to(12)

        assert sure(story.candle(1, 6))["volume"] == 2
        assert story.ledger.counts["duplicate"] == 3
        assert [gap for gap in story.gaps(1) if gap[2] != "start"] == []

    def test_coverage_and_gaps_are_each_feeds_own(self, story: Story) -> None:
        story.kite(1).connect(2, UPSTOX, subscription(1))
        story.frame(2, packet(1, t=-10, x=0, price=100, volume=1000)).trade(1, 5, 101, 1010).disconnect(1)

        kinds = {(source, cause) for source, _, _, cause in story.ledger.real_gaps()}
        assert kinds == {(1, 1), (1, 2), (2, 1)}  # the disconnect is Kite's alone


class TestRule12Sessions:
    def test_the_opening_instant_decides_the_session(self, story: Story) -> None:
        story.at(OPEN_S - 100).kite(1).trade(1, OPEN_S - 1, 101, 1010).trade(1, OPEN_S, 102, 1020)
        story.pass_to(OPEN_S + 65)

        assert sure(story.candle(1, int(OPEN_S) - 1))["session"] == Session.PREOPEN
        assert sure(story.candle(1, int(OPEN_S)))["session"] == Session.REGULAR
        assert sure(story.candle(1, int(OPEN_S) - 60, 60))["session"] == Session.PREOPEN

    def test_a_trade_outside_every_session_is_kept(self, story: Story) -> None:
        at = 30_000.0  # 17:50 in India
        story.at(at - 10).kite(1).trade(1, at, 101, 1010).pass_to(at + 3)

        assert sure(story.candle(1, int(at)))["session"] == Session.UNKNOWN

    def test_beyond_the_data_the_session_is_unknown_and_nothing_is_thrown_away(self, story: Story) -> None:
        story.connect(1, KITE, subscription(1, session=NOWHERE))
        story.frame(1, packet(1, t=-10, x=0, price=100, volume=1000)).trade(1, 5, 101, 1010).pass_to(8)

        candle = sure(story.candle(1, 5))
        assert (candle["session"], candle["state"], candle["volume"]) == (Session.UNKNOWN, State.FINAL, 10)
        assert story.gaps(1) == []


def test_a_correction_goes_on_in_a_machine_restored_in_the_middle_of_it() -> None:
    story = Story(Machine(CandleSettings()))
    story.start().kite(1).trade(1, 5, 101, 1500).trade(1, 10, 101, 1400).trade(1, 12, 101, 1400)

    saved = story.machine
    assert isinstance(saved, Machine)
    story.machine = Machine.restore(saved.state())
    story.trade(1, 15, 101, 1401).trade(1, 16, 102, 1405).pass_to(19)

    assert sure(story.candle(1, 16))["volume"] == 4
    assert sure(story.candle(1, 5))["flags"] == Flag.VOLUME_SUSPECT


def test_what_passed_in_a_hole_of_the_log_lies_in_its_gap_however_early_the_stream_subscribed() -> None:
    """A feed that was there before the day began gets no second chance to count its whole volume."""
    machine = Machine(CandleSettings())
    story = Story(machine, now=PREOPEN_S - 60).start().kite(1)
    story.trade(1, PREOPEN_S + 5, 100, 1010).trade(1, PREOPEN_S + 6, 100, 1020).pass_to(PREOPEN_S + 20)
    machine.hole(ns(0), round(-story.tape.mono_zero * S))
    story.trade(1, 3, 101, 6_020).trade(1, 5, 101, 6_023).pass_to(10)

    assert sure(story.candle(1, 3))["volume"] == 0
    assert sure(story.candle(1, 3))["flags"] == Flag.SIZE_UNKNOWN
    assert sure(story.candle(1, 5))["volume"] == 3
    assert story.gaps(1)[-1] == (PREOPEN_S + 6, 4.0, "journal_lost", 5_000.0)


@pytest.mark.parametrize("steps", ["one batch", "one by one"])
def test_a_minute_that_an_uptime_ended_in_is_partial_whenever_it_is_told(steps: str) -> None:
    """Even if trade ids prove afterwards that nothing was missed: it may have been told before."""
    tape = Tape()
    tape.start().connect(1, BINANCE, subscription(1, VolumeKind.TRADES))
    for at, number in ((5, 7), (65, 8)):
        tape.at(at).frame(1, packet(1, t=at, x=at, price=100, size=1.0, trade_id=number))
    tape.at(70).frame(1).disconnect(1).at(130).tick()
    tape.connect(2, BINANCE, subscription(1, VolumeKind.TRADES))
    tape.frame(2, packet(1, t=130, x=130, price=100, size=1.0, trade_id=9)).at(190).tick()
    told = Story(Machine(CandleSettings()))
    for step in cut(tape.entries, [] if steps == "one batch" else range(len(tape.entries))):
        told.ledger.apply(told.machine.step(*step))

    assert sure(told.candle(1, 60, 60))["state"] == State.PARTIAL
    assert sure(told.candle(1, 120, 60))["state"] == State.FINAL


def test_a_calendar_in_another_zone_takes_the_place_of_the_one_before() -> None:
    """A user who corrects the zone of a class must not meet a daemon that dies at each start."""
    story = Story(Machine(CandleSettings())).start().kite(1)
    utc = {NSE: always_open(dt.date(2026, 11, 18), dt.date(2026, 11, 24)).to_json()}
    story.record(Kind.CALENDAR, payload=json.dumps(utc).encode())
    story.trade(1, 5, 101, 1010).pass_to(10)

    assert sure(story.candle(1, 5))["volume"] == 10


def test_a_year_of_calendars_does_not_make_the_state_grow() -> None:
    """A day is announced each day: what lies months back is of no use any more."""
    machine, sizes = Machine(CandleSettings()), []
    tape = Tape()
    tape.start().connect(1, KITE, subscription(1))
    for day in range(0, 360, 10):
        tables = {NSE: indian_days(day, day + 10).to_json()}
        tape.record(Kind.CALENDAR, payload=json.dumps(tables).encode())
        machine.step(*tape.take())
        sizes.append(len(machine.state()))

    assert sizes[-1] <= sizes[12] + 200


def test_the_latest_trade_time_is_known_whatever_the_batches() -> None:
    """Trades of one batch that go back in time, then an absurd id: the next one is told by its time."""
    tape, told = Tape(), []
    tape.start().connect(1, BINANCE, subscription(1, VolumeKind.TRADES))
    for at, t, number in (
        (1, 1, 10),
        (2, 2, 11),
        (5, 5, 12),
        (5.1, 3, 13),
        (5.2, 4, 1 << 62),
        (5.3, 4.5, 14),
    ):
        tape.at(at).frame(1, packet(1, t=t, x=at, price=100, size=1.0, trade_id=number))
    tape.at(70).tick()
    for at in ((5, 8), range(len(tape.entries))):
        machine, ledger = Machine(CandleSettings()), Ledger()
        for step in cut(tape.entries, at):
            ledger.apply(machine.step(*step))
        told.append(({key: row["trades"] for key, row in ledger.candles.items()}, ledger.counts["duplicate"]))

    assert told[0] == told[1]
