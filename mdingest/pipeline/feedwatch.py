"""How the feeds are doing: connections, what they were told and what they hear, liquid instruments."""

import time
from collections.abc import Callable, Sequence

import numpy as np
import structlog
from prometheus_client import Counter

from mdingest.core.records import Batch
from mdingest.core.units import NS
from mdingest.pipeline.decoding import Understood
from mdingest.pipeline.feed import Feed, FeedState, FeedStatus
from mdingest.pipeline.feeds import Feeds
from mdingest.pipeline.rhythm import Quiet, Rhythm
from mdingest.providers.base import BadFrame
from mdingest.telemetry.clock import Clock
from mdingest.telemetry.health import Detail, Health
from mdingest.telemetry.logging import Repeats
from mdingest.telemetry.metrics import Family, Metrics

log = structlog.get_logger()

# A connection without any data for so many real seconds is told, with what may be behind it.
_UNANSWERED = 30.0, "a token may be dead or its app without market data"
_UNTRADED = 900.0, "nothing may have traded; else see that the symbols are spelt as the exchange has them"
MOST_NAMED = 10
SAMPLE_EVERY_S = 10.0  # real; a flood of damage fills no log
SAMPLE_BYTES = 32
_ENDED = "ended"  # the feed of a frame whose connection is gone: the log is read behind the sockets
_PASSED_OVER: dict[str, Callable[[Metrics], Family[Counter]]] = {
    "skipped": lambda metrics: metrics.packets_skipped,
    "unknown": lambda metrics: metrics.packets_unknown,
}


class FeedWatch:
    """The part ``feeds`` of health, and the metrics of each connection."""

    def __init__(self, metrics: Metrics, feeds: Sequence[Feeds], clock: Clock) -> None:
        self._metrics = metrics
        self._feeds = feeds
        self._clock = clock
        self._rhythm = Rhythm()
        self._samples = Repeats(SAMPLE_EVERY_S, time.monotonic)
        self._counted: dict[tuple[str, str], int] = {}

    def register(self, health: Health) -> None:
        """One part a connection is too many to register before they exist: one part for all."""
        health.register("feeds", self.check)

    def stepped(self, batch: Batch, understood: Understood) -> None:
        """A listener of the aggregator."""
        if understood.bad:
            self._damaged(batch, understood.bad)
        for name, family in _PASSED_OVER.items():
            if count := understood.counts[name]:
                family(self._metrics)[_only_feed(understood)].inc(count)
        if len(understood.packets):
            self._rhythm.heard(understood.packets["instrument_id"], int(batch.wall_ns[-1]))

    def check(self) -> tuple[bool, Detail]:
        """For `Health`."""
        details: dict[str, dict[str, object]] = {}
        well = True
        for feeds in self._feeds:
            connections = {feed.status.name: feed for feed in feeds.feeds}
            for status in feeds.statuses:
                detail = details[status.name] = self._detail(status)
                if feeds.problems:
                    detail["unresolved"] = list(feeds.problems)
                live = status.state is FeedState.LIVE
                self._count(status, live=live)
                if live and (feed := connections.get(status.name)) is not None:
                    detail |= self._of_live(feeds, feed)
                well = well and live and "error" not in detail
        return well, details

    def _detail(self, status: FeedStatus) -> dict[str, object]:
        return {
            "state": status.state.value,
            "state_for_s": self._ago(status.since_ns),
            "instruments": status.instruments,
            "last_frame_s": self._ago(status.last_frame_ns),
            "last_data_s": self._ago(status.last_data_ns),
            "reconnects": status.reconnects,
            "frames": status.frames,
            **({"error": status.last_error} if status.last_error else {}),
        }

    def _of_live(self, feeds: Feeds, feed: Feed) -> dict[str, object]:
        """What a connection that is up does not say."""
        status, now = feed.status, self._clock.wall_ns()
        up_s = (now - status.since_ns) / NS
        waits_s = self._clock.real_s(up_s)
        regular_s = {name: feeds.regular_s([name]) for name in {sub.session_class for sub in feed.subs}}
        patience_s, todo = _UNANSWERED if feed.protocol.answers else _UNTRADED
        unanswered = status.last_data_ns < status.since_ns and waits_s >= patience_s
        if unanswered and max(regular_s.values(), default=0.0) >= patience_s:
            why = f"subscribed {waits_s:.0f} s ago, and no data has come"
            return {"error": why, "what_to_do": todo}
        expected_s = np.array(
            [min(up_s, regular_s[sub.session_class] * self._clock.speed) for sub in feed.subs], np.float64
        )
        ids = np.array([sub.instrument_id for sub in feed.subs], np.int64)
        quiet = self._rhythm.quiet(ids, now, expected_s)
        self._metrics.instruments_quiet[status.name].set(len(quiet))
        return {"quiet_instruments": len(quiet), **_named(feed, quiet)}

    def _count(self, status: FeedStatus, *, live: bool) -> None:
        metrics, name = self._metrics, status.name
        metrics.feed_up[name].set(live)
        for what, family, value in (
            ("reconnects", metrics.reconnects, status.reconnects),
            ("frames", metrics.frames, status.frames),
            ("withheld", metrics.texts_dropped, status.withheld),
        ):
            family[name].inc(value - self._counted.get((name, what), 0))
            self._counted[name, what] = value

    def _damaged(self, batch: Batch, bad: Sequence[BadFrame]) -> None:
        """Count all of them, show one now and then: what is in it is market data, or no secret of ours."""
        feeds = {feed.status.stream_id: feed.status.feed for one in self._feeds for feed in one.feeds}
        for frame in bad:
            name = feeds.get(frame.stream_id, _ENDED)
            self._metrics.frames_bad[name].inc()
            if (held := self._samples.allow(name)) is not None:
                sample = batch.payload(frame.rec)
                log.warning(
                    "frame.undecodable",
                    feed=name,
                    error=frame.error,
                    size=len(sample),
                    begins=sample[:SAMPLE_BYTES].hex(),
                    not_shown=held,
                )

    def _ago(self, instant_ns: int) -> float | None:
        return round((self._clock.wall_ns() - instant_ns) / NS, 1) if instant_ns else None


def _only_feed(understood: Understood) -> str:
    """Whose packets a batch has, if they are all of one feed."""
    names = [name.removeprefix("packets.") for name in understood.counts if name.startswith("packets.")]
    return names[0] if len(names) == 1 else "several"


def _named(feed: Feed, quiet: Sequence[Quiet]) -> dict[str, object]:
    if not quiet:
        return {}
    subs = feed.subs
    return {"quiet": {subs[one.at].symbol: round(one.silent_s, 1) for one in quiet[:MOST_NAMED]}}
