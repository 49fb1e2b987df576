"""What the webhook is told of the disk."""

from mdingest.app.alerting import _disk
from mdingest.telemetry.health import Detail


def of(*, well: bool, **detail: object) -> tuple[str, bool | None, str, str]:
    base: Detail = {"free_bytes": 1_000, "low_bytes": 100, "state": "ok"}
    condition = _disk(lambda: (well, {**base, **detail}))
    return condition.state, condition.well, condition.reason, condition.todo


def test_a_parked_disk_is_told_with_what_to_do() -> None:
    told = of(well=False, state="parked", error="the disk is full", what_to_do="free space")
    assert told == ("parked", False, "the disk is full", "free space")
    assert of(well=False, state="shedding", error="shed")[:2] == ("shedding", False)
    assert of(well=False, error="can't be looked at")[1] is False


def test_a_disk_that_is_hardly_above_its_limit_is_neither_well_nor_ill() -> None:
    assert of(well=True, free_bytes=110)[1] is None
    assert of(well=True)[:2] == ("ok", True)
