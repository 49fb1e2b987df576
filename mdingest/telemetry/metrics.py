"""What the process counts and measures, under names that end in their unit or ``_total``.

A metric with labels is a mapping from label value to its child, made on first use and kept:
``metrics.ticks["kite_ws"].inc(n)`` costs a dictionary look-up, not a look through labels.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder

disable_created_metrics()  # type: ignore[no-untyped-call]  # a line more for each series, which nobody reads

_Metric = TypeVar("_Metric", Counter, Gauge, Histogram)

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_STALL = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0)
_LAG = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0, 600.0)


class Family(dict[str, _Metric], Generic[_Metric]):
    """Label value to child. Label values come from the code and the config, never from a peer."""

    def __init__(self, metric: _Metric) -> None:
        super().__init__()
        self._child_of: Callable[[str], _Metric] = metric.labels

    def __missing__(self, value: str) -> _Metric:
        child = self[value] = self._child_of(value)
        return child


class Metrics:
    """Every metric of one process, in a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)

        def count(name: str, text: str) -> Counter:
            return Counter(f"mdingest_{name}", text, registry=registry)

        def counts(name: str, text: str, label: str) -> Family[Counter]:
            return Family(Counter(f"mdingest_{name}", text, [label], registry=registry))

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"mdingest_{name}", text, registry=registry)

        def gauges(name: str, text: str, label: str) -> Family[Gauge]:
            return Family(Gauge(f"mdingest_{name}", text, [label], registry=registry))

        def spread(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"mdingest_{name}", text, registry=registry, buckets=buckets)

        self.ticks = counts("ticks_total", "Packets decoded", "feed")
        self.ticks_late = count("ticks_late_total", "Packets whose candle could no longer change")
        self.ticks_shed = count("ticks_shed_total", "Frames shed because the disk was full")
        self.machine = counts("machine_events_total", "What the machine counted", "kind")
        self.frames = counts("frames_total", "Frames received", "feed")
        self.frames_bad = counts("frames_bad_total", "Frames or parts of them not decoded", "feed")
        self.packets_skipped = counts("packets_skipped_total", "Packets of unknown kind", "feed")
        self.packets_unknown = counts("packets_unknown_total", "Packets nobody subscribed", "feed")
        self.texts_dropped = counts("texts_dropped_total", "Account messages dropped", "feed")
        self.reconnects = counts("reconnects_total", "Connections opened again", "feed")
        self.feed_up = gauges("feed_up", "1 while data arrives", "feed")
        self.instruments_quiet = gauges(
            "instruments_quiet", "Liquid instruments silent against their own rhythm", "feed"
        )
        self.feed_lag = gauges("feed_lag_seconds", "Receive time - event time, latest", "feed")
        self.candles = counts("candles_total", "Candle rows committed", "interval")
        self.missing_minutes = gauges(
            "missing_minutes", "Minutes of trading hours of the last week that a feed missed", "repair"
        )
        self.gaps = count("gaps_total", "Gaps written")
        self.channel_depth = gauges("channel_depth", "Items waiting", "channel")
        self.flush = spread("flush_seconds", "One transaction of the writer", _FAST)
        self.commit_lag = spread("commit_lag_seconds", "Receive to commit", _LAG)
        self.journal_bytes = gauge("journal_bytes", "Size of the journal on disk")
        self.journal_lag = gauge("journal_lag_seconds", "How long the oldest record waits for its commit")
        self.journal_lag_bytes = gauge("journal_lag_bytes", "Appended but not yet committed")
        self.database_bytes = gauge("database_bytes", "Size of the database on disk")
        self.database_pending_bytes = gauge("database_pending_bytes", "Written, not yet moved into it")
        self.disk_free_bytes = gauge("disk_free_bytes", "Free where the journal is")
        self.loop_stall = spread("loop_stall_seconds", "How late the event loop came back", _STALL)
        self.http_requests = counts("http_requests_total", "Replies by status", "status")
        self.http_seconds = spread("http_request_seconds", "From request to reply", _FAST)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The page Prometheus reads, and its content type, as ``accept`` asks."""
        encode: Callable[[CollectorRegistry], bytes]
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type
