"""Metrics carry the names that dashboards rely on."""

import pytest

from mdingest.telemetry.metrics import Metrics


def test_children_of_a_metric_are_made_once() -> None:
    metrics = Metrics()

    first = metrics.ticks["kite_ws"]
    first.inc(3)

    assert metrics.ticks["kite_ws"] is first
    assert metrics.registry.get_sample_value("mdingest_ticks_total", {"feed": "kite_ws"}) == 3


def test_two_processes_in_one_test_do_not_share_counts() -> None:
    one, other = Metrics(), Metrics()
    one.ticks_shed.inc()

    assert other.registry.get_sample_value("mdingest_ticks_shed_total") == 0


def test_the_page_has_every_promised_name() -> None:
    metrics = Metrics()
    metrics.ticks["kite_ws"].inc()
    metrics.frames_bad["kite_ws"].inc()
    metrics.feed_lag["kite_ws"].set(0.2)
    metrics.channel_depth["batches"].set(4)
    metrics.flush.observe(0.01)

    body, content_type = metrics.exposition("")

    assert content_type.startswith("text/plain")
    page = body.decode()
    for name in (
        'mdingest_ticks_total{feed="kite_ws"} 1.0',
        "mdingest_ticks_shed_total 0.0",
        "mdingest_ticks_late_total 0.0",
        'mdingest_frames_bad_total{feed="kite_ws"} 1.0',
        'mdingest_feed_lag_seconds{feed="kite_ws"} 0.2',
        'mdingest_channel_depth{channel="batches"} 4.0',
        "mdingest_flush_seconds_count 1.0",
        "process_resident_memory_bytes",
    ):
        assert name in page
    assert "_created" not in page


@pytest.mark.parametrize("accept", ["application/openmetrics-text; version=1.0.0", "text/plain"])
def test_the_page_comes_in_the_format_asked_for(accept: str) -> None:
    _, content_type = Metrics().exposition(accept)

    assert content_type.split(";")[0] == accept.split(";", maxsplit=1)[0]
