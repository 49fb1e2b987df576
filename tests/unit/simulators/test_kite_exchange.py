"""Market, connections and faults without sockets, turned by hand: reproducible to the byte."""

import json
from pathlib import Path

import numpy as np

from mdingest.simulators.market import S
from tests.support.exchange_story import INFY, START, TOKENS, Ear, Story, by_token, made, told


def test_every_trade_is_one_packet_and_the_snapshot_comes_first(tmp_path: Path) -> None:
    story = Story(tmp_path)
    story.run(1)
    ear, _ = story.connect()
    story.run(3)
    tape, cuts = story.end()

    heard = told(ear)
    assert sorted(token for token, _, _ in heard[: len(TOKENS)]) == sorted(TOKENS)
    assert by_token(heard[len(TOKENS) :]) == by_token(made(tape, 1))
    before = [line for line in tape if not line["sent"]]
    assert max(line["ns"] for line in before) < START + S <= min(line["ns"] for line in tape if line["sent"])
    assert cuts == []


def test_the_same_seed_tells_the_same_story_to_the_byte(tmp_path: Path) -> None:
    def story(folder: str, seed: int) -> tuple[list[bytes | str], object]:
        told_again = Story(
            tmp_path / folder,
            "truncate~1s,unknown~1s,lie~1s,late~2s/1s,mute~3s/500ms,disconnect~4s",
            seed=seed,
        )
        heard = []
        for _ in range(4):
            ear, _ = told_again.connect()
            told_again.run(2)
            heard += ear.heard
        return heard, told_again.end()

    assert story("a", 1) == story("b", 1)
    assert story("c", 2)[0] != story("a", 1)[0]


def test_a_truncated_frame_loses_what_the_cut_says_and_nothing_else(tmp_path: Path) -> None:
    story = Story(tmp_path, "truncate@1s,truncate@2s")
    ear, _ = story.connect()
    story.run(3)
    tape, cuts = story.end()

    assert [cut["cause"] for cut in cuts] == ["truncate", "truncate"]
    lost = [line for line in tape if 1 not in line["sent"]]
    assert lost
    for line in lost:
        assert any(
            cut["start_ns"] <= line["ns"] < cut["end_ns"] and line["token"] in cut["tokens"] for cut in cuts
        )
    assert by_token(told(ear)[len(TOKENS) :]) == by_token(made(tape, 1))


def test_unknown_packets_and_lying_counts_lose_nothing(tmp_path: Path) -> None:
    story = Story(tmp_path, "unknown@1s,lie@2s")
    ear, _ = story.connect()
    story.run(3)
    tape, cuts = story.end()

    assert [(cut["cause"], cut["lost"], bool(cut["tokens"])) for cut in cuts] == [
        ("unknown", False, False),
        ("lie", False, True),
    ]
    assert all(line["sent"] == [1] for line in tape)
    assert by_token(told(ear)[len(TOKENS) :]) == by_token(made(tape, 1))


def test_late_packets_keep_their_order_and_their_stamps(tmp_path: Path) -> None:
    story = Story(tmp_path, "late@1s/8s")
    ear, _ = story.connect()
    story.run(9.5)
    seen = len(ear.heard)
    story.run(0.1)
    tape, cuts = story.end()

    (late,) = cuts
    assert (late["cause"], late["lost"], len(late["tokens"])) == ("late", False, len(TOKENS) // 3)
    assert (late["start_ns"], late["end_ns"]) == (START + S, START + 9 * S)
    held = [line for line in tape if line["held"]]
    assert {line["token"] for line in held} == set(late["tokens"])
    assert all(line["sent"] == [] and START + S <= line["ns"] < START + 9 * S for line in held)
    all_trades = [(line["token"], round(line["price"] * 100), line["ts"]) for line in tape]
    assert by_token(told(ear)[len(TOKENS) :]) == by_token(all_trades)
    assert len(ear.heard) > seen


def test_a_disconnect_cuts_every_token_until_it_is_subscribed_again(tmp_path: Path) -> None:
    story = Story(tmp_path, "disconnect@2s")
    ear, line = story.connect()
    story.run(3)
    assert ear.ended == "aborted"
    again, _ = story.connect(TOKENS[:10])
    story.run(1)
    rest, _ = story.connect(TOKENS[10:20])
    story.run(1)
    tape, cuts = story.end()

    spans = [(cut["cause"], cut["start_ns"], cut["end_ns"], len(cut["tokens"])) for cut in cuts]
    assert spans == [
        ("disconnect", START + 2 * S, START + 3 * S, 10),
        ("disconnect", START + 2 * S, START + 4 * S, 10),
        ("disconnect", START + 2 * S, None, len(TOKENS) - 20),
    ]
    assert by_token(told(ear)[len(TOKENS) :]) == by_token(made(tape, line.number))
    assert by_token(told(again)[10:]) == by_token(made(tape, 2))
    assert by_token(told(rest)[10:]) == by_token(made(tape, 3))
    assert not any(one["sent"] for one in tape if START + 2 * S <= one["ns"] < START + 3 * S)


def test_another_key_does_not_end_a_cut(tmp_path: Path) -> None:
    story = Story(tmp_path)
    _, line = story.connect([INFY])
    story.run(1)
    story.exchange.leave(line, "peer_lost")
    story.connect([INFY], api_key="another")
    story.run(1)
    _, cuts = story.end()

    ((cut),) = cuts
    assert (cut["api_key"], cut["cause"], cut["end_ns"]) == ("key", "peer_lost", None)


def test_a_mute_spell_is_a_cut_with_both_its_ends(tmp_path: Path) -> None:
    story = Story(tmp_path, "mute@1s/2s,silent@2s/3s")
    ear, line = story.connect()
    story.run(1.5)
    assert (line.muted, line.silent) == (True, False)
    story.run(2)
    assert (line.muted, line.silent) == (True, True)
    story.run(3)
    assert (line.muted, line.silent) == (False, False)
    tape, cuts = story.end()

    assert [(cut["cause"], cut["start_ns"], cut["end_ns"]) for cut in cuts] == [
        ("mute", START + S, START + 5 * S)
    ]
    for one in tape:
        assert bool(one["sent"]) != (START + S <= one["ns"] < START + 5 * S)
    assert by_token(told(ear)[len(TOKENS) :]) == by_token(made(tape, 1))


def test_a_subscription_on_a_mute_connection_is_answered_when_it_speaks_again(tmp_path: Path) -> None:
    story = Story(tmp_path, "mute@1s/2s")
    ear, line = story.connect([INFY])
    story.run(1.5)
    heard = len(ear.heard)
    line.receive(json.dumps({"a": "subscribe", "v": TOKENS}))
    story.run(1.4)
    assert len(ear.heard) == heard
    story.run(1)
    story.end()

    assert {token for token, _, _ in told(ear)} >= {INFY}
    assert sorted(line.tokens()) == sorted(TOKENS)


def test_what_waits_in_our_own_buffer_is_part_of_the_cut(tmp_path: Path) -> None:
    story = Story(tmp_path)
    ear, line = story.connect([INFY])
    story.run(1)
    ear.deaf = True
    story.run(2)
    story.exchange.leave(line, "peer_lost")
    tape, cuts = story.end()

    (cut,) = cuts
    unheard = [one for one in tape if one["token"] == INFY and one["ns"] >= START + S]
    assert cut["start_ns"] == unheard[0]["ns"]
    assert len(told(ear)) == 1 + sum(one["token"] == INFY for one in tape) - len(unheard)


def test_a_client_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    story = Story(tmp_path)
    ear, _ = story.connect()
    story.run(1)
    ear.unread = 65 << 20
    story.run(0.1)
    _, cuts = story.end()

    assert ear.ended == "aborted"
    assert {cut["cause"] for cut in cuts} == {"slow"}


def test_a_turn_that_comes_late_halts_the_market_instead_of_sending_late(tmp_path: Path) -> None:
    story = Story(tmp_path)
    ear, _ = story.connect()
    story.run(1)
    story.exchange.turn(START + 20 * S)
    story.run(1)
    tape, _ = story.end()

    assert not [one for one in tape if START + S <= one["ns"] < START + 20 * S]
    assert [one for one in tape if one["ns"] >= START + 20 * S]
    assert by_token(told(ear)[len(TOKENS) :]) == by_token(made(tape, 1))


def test_a_held_back_instrument_that_is_cut_lost_its_data_from_the_hold_on(tmp_path: Path) -> None:
    story = Story(tmp_path, "late@1s/10s,disconnect@5s")
    story.connect()
    story.run(6)
    tape, cuts = story.end()

    held = {one["token"] for one in tape if one["held"]}
    for cut in cuts:
        early = cut["start_ns"] < START + 5 * S
        assert held.issuperset(cut["tokens"]) if early else held.isdisjoint(cut["tokens"])
    assert {token for cut in cuts for token in cut["tokens"]} == set(TOKENS)


def test_tokens_beyond_the_limit_are_refused_and_the_rest_served(tmp_path: Path) -> None:
    story = Story(tmp_path)
    line = story.exchange.join("key", Ear())
    unknown = list(range(10_000_000, 10_002_999))

    assert line.receive(json.dumps({"a": "subscribe", "v": unknown})) == []
    (text,) = line.receive(json.dumps({"a": "subscribe", "v": [INFY, *TOKENS[:2]]}))
    story.run(0.1)

    assert json.loads(text) == {
        "type": "error",
        "data": "at most 3000 instruments a connection: 2 were not subscribed",
    }
    assert line.tokens() == [INFY]
    assert np.count_nonzero(line.flowing) == 1
    story.end()
