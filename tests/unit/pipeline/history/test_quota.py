"""The requests of a day are counted where a restart and another process find them."""

from pathlib import Path

import orjson
import pytest

from mdingest.errors import PermanentError, TransientError
from mdingest.pipeline.history.limits import Pace
from mdingest.pipeline.history.quota import Quota
from mdingest.providers.history import Limits

S = 1_000_000_000


class Wall:
    def __init__(self) -> None:
        self.now_s = 1_800_000_000

    def __call__(self) -> int:
        return self.now_s * S


@pytest.fixture
def wall() -> Wall:
    return Wall()


def test_a_restart_forgets_nothing(tmp_path: Path, wall: Wall) -> None:
    file = tmp_path / "quota" / "a.json"
    assert [Quota(file, 2, wall).take() for _ in range(2)] == [0, 0]

    wall.now_s += 60

    assert Quota(file, 2, wall).take() == pytest.approx(86_340)
    wall.now_s += 86_340
    assert Quota(file, 2, wall).take() == 0


def test_what_the_provider_says_is_remembered(tmp_path: Path, wall: Wall) -> None:
    Quota(tmp_path / "a.json", 9, wall).hold(3_600)

    assert Quota(tmp_path / "a.json", 9, wall).take() == pytest.approx(3_600)
    wall.now_s += 3_601
    assert Quota(tmp_path / "a.json", 9, wall).take() == 0


@pytest.mark.parametrize("text", ["", "{", "[]", '{"asked": 7}', '{"asked": ["x"], "until": 0}'])
def test_a_damaged_file_counts_as_empty(tmp_path: Path, wall: Wall, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    assert Quota(tmp_path / "a.json", 1, wall).take() == 0
    assert Quota(tmp_path / "a.json", 1, wall).take() > 0


def test_a_clock_that_was_set_back_blocks_nobody_for_ever(tmp_path: Path, wall: Wall) -> None:
    quota = Quota(tmp_path / "a.json", 1, wall)
    quota.take()
    wall.now_s -= 400 * 86_400
    assert quota.take() == 0


def test_a_file_that_cant_be_written_is_told(tmp_path: Path, wall: Wall) -> None:
    (tmp_path / "f").write_text("")
    with pytest.raises(PermanentError, match=r"f/a\.json: the requests of the day can't be counted"):
        Quota(tmp_path / "f" / "a.json", 1, wall).take()


async def test_a_pace_asks_the_quota(tmp_path: Path, wall: Wall) -> None:
    pace = Pace(Limits(per_day=1), lambda: 0.0, Quota(tmp_path / "a.json", 1, wall))
    await pace.turn()
    with pytest.raises(TransientError, match="quota of 1 requests a day is used up") as caught:
        await pace.turn()
    assert caught.value.retry_after_s == pytest.approx(86_400)


async def test_a_long_wait_that_the_provider_asks_for_outlives_the_process(
    tmp_path: Path, wall: Wall
) -> None:
    Pace(Limits(per_day=9), lambda: 0.0, Quota(tmp_path / "a.json", 9, wall)).hold(4_000)
    fresh = Pace(Limits(per_day=9), lambda: 0.0, Quota(tmp_path / "a.json", 9, wall))
    with pytest.raises(TransientError):
        await fresh.turn()


def test_a_plan_of_a_million_a_day_keeps_a_small_file(tmp_path: Path, wall: Wall) -> None:
    file = tmp_path / "a.json"
    minutes = [[wall.now_s - 60 * minute, 694] for minute in range(1_440, 0, -1)]
    file.write_bytes(orjson.dumps({"asked": minutes, "until": 0.0}))
    quota = Quota(file, 1_439 * 694 + 50, wall)  # the first minute was a day ago

    waits = [quota.take() for _ in range(52)]

    assert waits == [0] * 50 + [60] * 2
    assert file.stat().st_size < 30_000


def test_a_file_of_an_earlier_version_still_counts(tmp_path: Path, wall: Wall) -> None:
    (tmp_path / "a.json").write_text(f'{{"asked": [{wall.now_s - 60.5}, {wall.now_s - 9.0}], "until": 0.0}}')

    assert Quota(tmp_path / "a.json", 2, wall).take() == pytest.approx(86_400 - 60.5)


def test_who_leaves_a_share_to_others_finds_less_of_it(tmp_path: Path) -> None:
    quota = Quota(tmp_path / "quota.json", 10, lambda: 1_795_000_000 * S)

    assert [quota.take(0.5) == 0 for _ in range(6)] == [True] * 5 + [False]
    assert [quota.take() == 0 for _ in range(6)] == [True] * 5 + [False]
