"""The language of faults and its timetable."""

import pytest

from mdingest.errors import ConfigError
from mdingest.simulators.faults import Fault, S, Timetable, check_fault, parse_faults


def test_a_list_of_faults_is_read() -> None:
    assert parse_faults("disconnect@20s, mute@1.5m/500ms,403~2h/1m") == (
        Fault("disconnect", at_ns=20 * S),
        Fault("mute", at_ns=90 * S, long_ns=S // 2),
        Fault("403", mean_ns=7200 * S, long_ns=60 * S),
    )
    assert parse_faults("") == ()


@pytest.mark.parametrize(
    ("text", "help_given"),
    [
        ("disconnect", "like disconnect@20s"),
        ("disconnect@20", "units: ms, s, m, h"),
        ("disconnect@-1s", "KIND@WHEN"),
        ("explode@1s", "there are: disconnect, close"),
        ("mute@10s", "mute@10s/15s"),
        ("late@10s/0s", "late@10s/15s"),
        ("truncate@10s/5s", "truncate@10s"),
        ("truncate~1ms", "at least 100ms"),
        ("mute@1s/2s;close@1s", "KIND@WHEN"),
    ],
)
def test_a_wrong_text_is_refused_with_what_would_be_right(text: str, help_given: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        parse_faults(text)

    assert help_given in str(refusal.value)


def test_an_injected_fault_is_checked_too() -> None:
    with pytest.raises(ConfigError, match="there is no fault 'x'"):
        check_fault("x", 0)


def test_what_is_due_comes_once_and_in_order_of_time() -> None:
    table = Timetable(parse_faults("close@3s,order@1s,truncate@3s"), start_ns=100 * S, seed=1)

    assert table.due(100 * S) == []
    assert [(due.kind, due.at_ns) for due in table.due(103 * S)] == [
        ("order", 101 * S),
        ("close", 103 * S),
        ("truncate", 103 * S),
    ]
    assert table.due(1000 * S) == []


def test_random_faults_repeat_at_their_mean_and_the_same_with_the_same_seed() -> None:
    def times(seed: int) -> list[int]:
        table = Timetable(parse_faults("disconnect~30s"), start_ns=0, seed=seed)
        return [due.at_ns for end in range(0, 30_000 * S, 7 * S) for due in table.due(end)]

    assert times(1) == times(1) != times(2)
    assert len(times(1)) == pytest.approx(1000, rel=0.1)
