"""Health shows each part by itself."""

from mdingest.telemetry.health import Health


def test_one_failing_part_fails_the_whole_and_the_others_are_still_shown() -> None:
    health = Health(started=True)
    health.register("writer", lambda: (True, {"lag_s": 0.5}))
    health.register("feeds", lambda: (False, {"kite_ws": "parked: token refused"}))

    well, report = health.report()

    assert not well
    assert report["status"] == "failing"
    assert report["parts"] == {
        "writer": {"ok": True, "lag_s": 0.5},
        "feeds": {"ok": False, "kite_ws": "parked: token refused"},
    }


def test_nothing_is_well_before_the_start() -> None:
    health = Health()
    health.register("writer", lambda: (True, {}))

    assert health.report() == (False, {"status": "starting", "parts": {"writer": {"ok": True}}})
    health.started = True
    assert health.report()[0]


def test_a_broken_feed_leaves_readers_alone_and_a_broken_store_does_not() -> None:
    store_ok = [True]
    health = Health(started=True)
    health.register("feeds", lambda: (False, {}))
    health.register("store", lambda: (store_ok[0], {}), for_readers=True)

    assert health.ready() == (True, {"started": True, "failing": []})
    store_ok[0] = False
    assert health.ready() == (False, {"started": True, "failing": ["store"]})


def test_facts_stand_beside_the_parts() -> None:
    health = Health(started=True, facts={"version": "1.2.3", "time": lambda: "noon"})

    assert health.report() == (True, {"status": "ok", "version": "1.2.3", "time": "noon", "parts": {}})
