"""What each of the rarer faults sends, and what the simulator's log says of it."""

from pathlib import Path
from typing import Any

import pytest

from mdingest.simulators.faults import INSTANT, LASTING, described
from mdingest.simulators.market import S
from tests.support.exchange_story import INFY, START, TOKENS, Ear, Story, by_token, made, told

README = Path(__file__).parents[3] / "README.md"


def totals(ear: Ear, token: int) -> list[int]:
    """The day's volume in each whole full packet of an instrument, in order of arrival."""
    found = []
    for frame in ear.heard:
        at = 2
        while isinstance(frame, bytes) and at + 2 <= len(frame):
            size = int.from_bytes(frame[at : at + 2], "big")
            body = frame[at + 2 : at + 2 + size]
            at += 2 + size
            if len(body) == size == 184 and int.from_bytes(body[:4], "big") == token:
                found.append(int.from_bytes(body[16:20], "big"))
    return found


def of(cuts: list[dict[str, Any]], cause: str) -> list[tuple[int, int | None, bool, int]]:
    """When a fault began and ended, whether it lost anything, and how many tokens it concerns."""
    return [
        (cut["start_ns"], cut["end_ns"], cut["lost"], len(cut["tokens"]))
        for cut in cuts
        if cut["cause"] == cause
    ]


@pytest.mark.parametrize("kind", [*INSTANT, *LASTING])
def test_every_kind_happens_is_described_and_the_same_again(tmp_path: Path, kind: str) -> None:
    def story(folder: str) -> tuple[list[bytes | str], object]:
        told_again = Story(tmp_path / folder, f"{kind}@1s" + ("/1s" if kind in LASTING else ""))
        ear, _ = told_again.connect()
        told_again.run(2)
        second, _ = told_again.connect()
        told_again.run(1)
        return ear.heard + second.heard, told_again.end()

    assert story("a") == story("b")
    assert f"  {kind} " in described()
    assert f"| `{kind}` | {(INSTANT | LASTING)[kind]} |" in README.read_text(encoding="utf-8")
    heard, (_, cuts) = story("c")
    assert kind == "order" or {cut["cause"] for cut in cuts} == {kind}, heard[:3]


def test_a_frame_that_comes_twice_loses_nothing(tmp_path: Path) -> None:
    story = Story(tmp_path, "duplicate@1s,duplicate@2s")
    ear, _ = story.connect()
    story.run(3)
    tape, cuts = story.end()

    twice = [n for n, frame in enumerate(ear.heard[1:], 1) if frame == ear.heard[n - 1]]
    assert len(twice) == 2
    ear.heard = [frame for n, frame in enumerate(ear.heard) if n not in twice]
    assert by_token(told(ear)[len(TOKENS) :]) == by_token(made(tape, 1))
    assert [(lost, tokens) for _, _, lost, tokens in of(cuts, "duplicate")] == [(False, 0)] * 2


def test_a_frame_that_lets_another_pass_is_told_with_all_it_concerns(tmp_path: Path) -> None:
    story = Story(tmp_path, "reorder@1s")
    ear, _ = story.connect()
    story.run(3)
    tape, cuts = story.end()

    heard, sent = told(ear)[len(TOKENS) :], made(tape, 1)
    assert heard != sent
    assert sorted(heard) == sorted(sent)
    ((start, end, lost, tokens),) = of(cuts, "reorder")
    assert end is not None
    assert (lost, tokens) == (False, len(TOKENS))
    assert START + S <= start < end < START + 2 * S


def test_a_frame_that_waits_is_sent_before_a_mute_spell_and_lost_with_its_connection(tmp_path: Path) -> None:
    story = Story(tmp_path, "reorder@1050ms,mute@1100ms/1s,reorder@2550ms,disconnect@2600ms")
    ear, _ = story.connect()
    story.run(3)
    tape, cuts = story.end()

    heard = by_token(told(ear)[len(TOKENS) :])
    assert heard == by_token(made([one for one in tape if one["ns"] < START + 2550 * S // 1000], 1))
    lost = {start for start, *_ in of(cuts, "disconnect") if start < START + 2600 * S // 1000}
    waited = {
        token: min(
            one["ns"] for one in tape if one["token"] == token and one["ns"] >= START + 2550 * S // 1000
        )
        for token in {
            one["token"] for one in tape if START + 2550 * S // 1000 <= one["ns"] < START + 2600 * S // 1000
        }
    }
    assert lost == set(waited.values())
    assert lost


def test_hostile_frames_come_beside_the_sound_one(tmp_path: Path) -> None:
    story = Story(tmp_path, "hostile@1s")
    ear, _ = story.connect()
    story.run(2)
    tape, cuts = story.end()

    assert any(isinstance(frame, str) for frame in ear.heard)
    heard = [row for row in told(ear)[len(TOKENS) :] if row[0] in TOKENS]
    assert by_token(heard) == by_token(made(tape, 1))
    assert [tokens for *_, tokens in of(cuts, "hostile")] == [len(TOKENS)]


def test_volumes_begin_again_with_a_reset_and_with_a_new_day(tmp_path: Path) -> None:
    for kind in ("reset", "roll"):
        story = Story(tmp_path / kind, f"{kind}@2s")
        ear, _ = story.connect()
        story.run(4)
        _, cuts = story.end()

        found = totals(ear, INFY)
        (fell,) = [n for n in range(1, len(found)) if found[n] < found[n - 1]]
        assert found[fell] < 2_000 < found[0]
        assert found[fell:] == sorted(found[fell:])
        assert of(cuts, kind) == [(START + 2 * S, START + 2 * S, False, len(TOKENS))]


def test_a_stale_state_is_shown_to_new_subscriptions_and_once_more_to_all(tmp_path: Path) -> None:
    story = Story(tmp_path, "stale@1s/2s")
    early, _ = story.connect()
    story.run(2)
    fresh, _ = story.connect()
    story.run(2)
    _, cuts = story.end()

    (then,) = {total for n, total in enumerate(totals(fresh, INFY)) if n == 0}
    heard = totals(early, INFY)
    assert heard.count(then) == 2, "as it was, and when it was told again"
    assert heard[-1] > then
    assert then not in (heard[0], heard[-1])
    assert of(cuts, "stale") == [(START + S, START + 3 * S, False, len(TOKENS))] * 2


def test_a_conflated_spell_tells_once_a_second_what_the_trades_add_up_to(tmp_path: Path) -> None:
    story = Story(tmp_path, "conflate@1s/3s")
    ear, _ = story.connect()
    story.run(6)
    tape, cuts = story.end()

    found, mine = totals(ear, INFY), [one for one in tape if one["token"] == INFY]
    held = [one for one in mine if one["held"]]
    assert {START + S <= one["ns"] < START + 4 * S for one in held} == {True}
    assert len(held) > 6
    inside = [total for total in found if total in {one["volume"] for one in held}]
    assert len(inside) == 3
    assert inside[-1] == held[-1]["volume"]
    assert found == sorted(found)
    assert of(cuts, "conflate") == [(START + S, START + 4 * S, False, len(TOKENS))]


def test_a_conflated_spell_that_is_cut_off_loses_what_was_not_told(tmp_path: Path) -> None:
    story = Story(tmp_path, "conflate@1s/3s,disconnect@1500ms")
    story.connect([INFY])
    story.run(5)
    tape, cuts = story.end()

    first = next(one["ns"] for one in tape if one["held"])
    assert of(cuts, "disconnect") == [(first, None, True, 1)]


def test_a_burst_is_over_when_it_is_over(tmp_path: Path) -> None:
    story = Story(tmp_path, "burst@1s/2s", rate=2.0)
    story.connect()
    story.run(5)
    tape, cuts = story.end()

    per_second = [sum(one["ns"] // S == START // S + n for one in tape) for n in range(5)]
    assert min(per_second[1:3]) > 10 * max(per_second[0], per_second[3], per_second[4])
    assert of(cuts, "burst") == [(START + S, START + 3 * S, False, 0)]


def test_a_half_open_connection_is_cut_and_others_meet_silence_until_it_is_over(tmp_path: Path) -> None:
    story = Story(tmp_path, "halfopen@1s/2s")
    ear, _ = story.connect()
    story.run(2)
    assert ear.rate == 0
    assert story.exchange.troubles.refusal(START + 2 * S) == ("hang", S)
    story.run(2)
    assert story.exchange.troubles.refusal(START + 4 * S) is None
    assert ear.ended == "aborted"
    story.connect()
    story.run(1)
    _, cuts = story.end()

    assert (START + S, START + 4 * S, True, len(TOKENS)) in of(cuts, "halfopen")


def test_a_trickle_slows_a_connection_down_for_its_time(tmp_path: Path) -> None:
    story = Story(tmp_path, "trickle@1s/2s")
    ear, _ = story.connect()
    story.run(2)
    assert ear.rate == 4096
    story.run(2)
    assert ear.rate is None
    _, cuts = story.end()
    assert of(cuts, "trickle") == [(START + S, START + 3 * S, False, len(TOKENS))]


def test_what_was_held_back_waits_until_a_mute_connection_speaks_again(tmp_path: Path) -> None:
    story = Story(tmp_path, "late@1s/2s,mute@2s/3s")
    ear, _ = story.connect()
    story.run(6)
    tape, _ = story.end()

    heard = {token: len(rows) for token, rows in by_token(told(ear)[len(TOKENS) :]).items()}
    arrived = {
        token: sum(one["token"] == token and bool(one["sent"] or one["held"]) for one in tape)
        for token in TOKENS
    }
    assert heard == arrived


def test_refusals_are_told_longest_first_and_used_tokens_expire(tmp_path: Path) -> None:
    story = Story(tmp_path, "403@1s/1s,503@1s/3s,expire@2s")
    story.exchange.troubles.admit("today's")
    ear, _ = story.connect()
    story.run(1.5)
    assert story.exchange.troubles.refusal(START + 3 * S // 2) == ("503", 5 * S // 2)
    story.run(1)
    assert story.exchange.troubles.dead_tokens == {"today's"}
    assert ear.ended == "aborted"
    story.end()
