"""What /health and /metrics say of the feeds."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from mdingest.core.control import Subscription, VolumeKind
from mdingest.core.records import Batch, Kind, Record, decode_batch, encode_batch
from mdingest.core.ticks import empty_packets
from mdingest.pipeline.decoding import Understood
from mdingest.pipeline.feed import FeedState, FeedStatus
from mdingest.pipeline.feeds import Feeds
from mdingest.pipeline.feedwatch import FeedWatch
from mdingest.providers.base import BadFrame
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.metrics import Metrics

NS = 1_000_000_000


class HandClock(Clock):
    """A clock that stands still."""

    def wall_ns(self) -> int:
        return 1_795_160_000 * NS


NOW = HandClock().wall_ns()


@dataclass
class Protocol:
    """Whether its peer answers each subscription at once."""

    answers: bool


@dataclass
class OneFeed:
    """A connection that is up."""

    status: FeedStatus
    subs: list[Subscription]
    protocol: Protocol


@dataclass
class FakeFeeds:
    """One provider, in a session for so long."""

    feeds: list[OneFeed]
    regular: float = 3_600.0
    problems: list[str] = field(default_factory=list)

    @property
    def statuses(self) -> list[FeedStatus]:
        return [feed.status for feed in self.feeds]

    def regular_s(self, classes: Iterable[str]) -> float:
        assert list(classes) == ["NSE.EQ"]
        return self.regular


def feeds(*, up_s: float, data_s: float | None, regular: float = 3_600.0, answers: bool = True) -> FakeFeeds:
    status = FeedStatus("kite_ws", "kite_ws", FeedState.LIVE, NOW - round(up_s * NS), frames=5, reconnects=2)
    status.last_data_ns = 0 if data_s is None else NOW - round(data_s * NS)
    subs = [Subscription(str(n), n, 100.0, "NSE.EQ", VolumeKind.CUMULATIVE, f"S{n}.NS") for n in (1, 2)]
    return FakeFeeds([OneFeed(status, subs, Protocol(answers))], regular)


def watch(of: FakeFeeds, metrics: Metrics | None = None) -> FeedWatch:
    return FeedWatch(metrics or Metrics(), [cast("Feeds", of)], HandClock())


def batch(at: int, *instruments: int) -> tuple[Batch, Understood]:
    raw = encode_batch([Record(Kind.TICK, 0, at, at, b"")], 0)
    packets = empty_packets(len(instruments))
    packets["instrument_id"] = np.array(instruments)
    return decode_batch(memoryview(raw), 0), Understood(packets)


def test_liquid_instruments_that_fell_silent_are_named_and_the_feed_stays_well() -> None:
    metrics = Metrics()
    watched = watch(feeds(up_s=3_000, data_s=0.1), metrics)
    for second in range(600):
        watched.stepped(*batch(NOW - (600 - second) * NS, *([1, 2] if second < 500 else [1])))

    well, detail = watched.check()

    assert well
    assert detail["kite_ws"]["quiet_instruments"] == 1
    assert detail["kite_ws"]["quiet"] == {"S2.NS": 101.0}
    assert 'mdingest_instruments_quiet{feed="kite_ws"} 1.0' in generate_latest(metrics.registry).decode()


def test_silence_before_the_session_or_the_connect_is_not_told() -> None:
    for of in (feeds(up_s=3_000, data_s=0.1, regular=0.0), feeds(up_s=10, data_s=0.1)):
        watched = watch(of)
        for second in range(600):
            watched.stepped(*batch(NOW - (1_000 - second) * NS, 1, 2))
        assert watched.check()[1]["kite_ws"]["quiet_instruments"] == 0


def test_a_subscription_that_is_not_answered_is_told_in_a_session() -> None:
    well, detail = watch(feeds(up_s=45, data_s=None)).check()
    assert not well
    assert detail["kite_ws"]["error"] == "subscribed 45 s ago, and no data has come"
    well, detail = watch(feeds(up_s=901, data_s=None, answers=False)).check()
    assert not well
    assert "spelt" in str(detail["kite_ws"]["what_to_do"])
    fine = (
        feeds(up_s=20, data_s=None),
        feeds(up_s=45, data_s=None, regular=0.0),
        feeds(up_s=45, data_s=44),
        feeds(up_s=890, data_s=None, answers=False),  # nothing has traded since
    )
    for of in fine:
        well, detail = watch(of).check()
        assert well, detail


def test_counts_grow_by_what_is_new() -> None:
    metrics, of = Metrics(), feeds(up_s=45, data_s=1)
    watched = watch(of, metrics)
    watched.check()
    of.feeds[0].status.frames, of.feeds[0].status.reconnects = 9, 2
    watched.check()

    text = generate_latest(metrics.registry).decode()
    assert 'mdingest_frames_total{feed="kite_ws"} 9.0' in text
    assert 'mdingest_reconnects_total{feed="kite_ws"} 2.0' in text


def test_damage_is_counted_and_shown_now_and_then() -> None:
    metrics, of = Metrics(), feeds(up_s=45, data_s=1)
    of.feeds[0].status.stream_id = 3
    watched = watch(of, metrics)
    damaged, understood = batch(NOW, 1)
    understood.bad = [
        BadFrame(0, 3, "packet 1 of 2 is cut off"),
        BadFrame(0, 9, "of one that is gone"),
    ]
    understood.counts |= {"packets.kite_ws": 1, "unknown": 4, "skipped": 2}
    with capture_logs() as told:
        for _ in range(50):
            watched.stepped(damaged, understood)

    shown = [(line["feed"], line["error"]) for line in told if line["event"] == "frame.undecodable"]
    assert shown == [("kite_ws", "packet 1 of 2 is cut off"), ("ended", "of one that is gone")]
    text = generate_latest(metrics.registry).decode()
    assert 'mdingest_frames_bad_total{feed="kite_ws"} 50.0' in text
    assert 'mdingest_packets_unknown_total{feed="kite_ws"} 200.0' in text
    assert 'mdingest_packets_skipped_total{feed="kite_ws"} 100.0' in text
