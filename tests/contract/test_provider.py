"""What every live provider must keep, on the recording in ``sample_data``. New ones are found."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel, SecretStr, ValidationError

from mdingest.core.control import decode_subscribe, encode_subscribe
from mdingest.core.rank import BY_NAME
from mdingest.core.ticks import PACKET
from mdingest.errors import ConfigError, PermanentError, TransientError
from mdingest.providers import PROVIDERS
from mdingest.providers.base import Decoded
from tests.support.frames import FIRST_REC, frames
from tests.support.recordings import Recording, recording_of


@pytest.fixture(params=sorted(PROVIDERS))
def recording(request: pytest.FixtureRequest) -> Recording:
    return recording_of(request.param)


def rows(decoded: Decoded) -> list[dict[str, Any]]:
    return [dict(zip(PACKET.names or (), packet, strict=True)) for packet in decoded.packets.tolist()]


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return all(
        np.array_equal(one[n], other[n], equal_nan=one[n].dtype.kind == "f") for n in PACKET.names or ()
    )


def test_the_recording_decodes_to_its_checked_values(recording: Recording) -> None:
    decoded = recording.decode(recording.messages)

    ids = {symbol: i for i, symbol in enumerate(recording.symbols, 11)}
    assert decoded.bad == []
    assert len(decoded.packets) == len(recording.expected) > 50
    for row, want in zip(rows(decoded), recording.expected, strict=True):
        assert row["rec"] == int(want["frame"]) + FIRST_REC
        assert row["stream_id"] == 3
        assert row["instrument_id"] == ids[want["symbol"]]
        for name in ("ts_exchange", "ts_trade", "trade_id"):
            assert row[name] == int(want[name]), (name, want)
        for name in ("price", "size", "volume", "day_high", "day_low", "oi"):
            value = float(want[name]) if want[name] else float("nan")
            assert np.array_equal(row[name], value, equal_nan=True), (name, row, want)


def test_how_frames_are_cut_into_batches_does_not_matter(recording: Recording) -> None:
    whole = recording.decode(recording.messages).packets
    decoder = recording.provider.decoder()
    decoder.subscribe(recording.subs())

    for size in (1, 7):
        cuts = range(0, len(recording.messages), size)
        parts = [decoder.decode(frames(recording.messages[at : at + size])).packets for at in cuts]
        joined = np.concatenate(parts)
        joined["rec"] = whole["rec"]  # numbered anew in each batch
        assert same(joined, whole)


def damaged(message: bytes) -> Iterator[bytes]:
    """The message with each byte turned over, and cut behind each byte."""
    for at in range(len(message)):
        yield message[:at] + bytes([message[at] ^ 0xFF]) + message[at + 1 :]
        yield message[:at]


def test_damage_is_reported_or_sane_and_leaves_the_neighbours_alone(recording: Recording) -> None:
    raw = [message.encode() if isinstance(message, str) else message for message in recording.messages]
    good = recording.decode([raw[0], raw[1]]).packets
    ids = {sub.instrument_id for sub in recording.subs()}
    reported = 0
    for victim in {len(message): message for message in raw if len(message) < 1500}.values():
        broken = list(damaged(victim))
        decoded = recording.decode([part for one in broken for part in (raw[0], one, raw[1])])

        packets, where = decoded.packets, (decoded.packets["rec"] - FIRST_REC) % 3
        around = packets[where != 1].copy()
        around["rec"] = 0
        want = np.concatenate([good] * len(broken))
        want["rec"] = 0
        assert same(around, want)
        inside = packets[where == 1]
        assert set(inside["instrument_id"].tolist()) <= ids
        assert np.all(np.isnan(inside["price"]) | ((inside["price"] > 0) & np.isfinite(inside["price"])))
        assert np.all((inside["ts_exchange"] >= 0) & (inside["ts_trade"] >= 0))
        for name in ("size", "volume", "day_high", "day_low", "oi"):
            assert np.all(np.isnan(inside[name]) | (np.isfinite(inside[name]) & (inside[name] >= 0)))
        assert all((bad.rec - FIRST_REC) % 3 == 1 and bad.stream_id == 3 and bad.error for bad in decoded.bad)
        reported += len(decoded.bad)
    assert reported > 100


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"\xff",
        b"\xff" * 999,
        "[]",
        "null",
        "1e999",
        "NaN",
        "{" * 5000,
        "[" * 100_000,
        "\ud7ff",
        b"{\x00}",
    ],
)
def test_no_frame_makes_a_decoder_raise(recording: Recording, message: bytes | str) -> None:
    decoded = recording.decode([recording.messages[0], message, recording.messages[1]])

    alone = recording.decode([recording.messages[0], recording.messages[1]])
    assert len(decoded.packets) == len(alone.packets)
    assert [bad.rec for bad in decoded.bad] in ([], [FIRST_REC + 1])


def test_packets_that_nobody_asked_for_are_counted(recording: Recording) -> None:
    decoder = recording.provider.decoder()
    everything = recording.decode(recording.messages)
    nothing = decoder.decode(frames(recording.messages))

    assert len(nothing.packets) == 0
    assert nothing.unknown == len(everything.packets) + everything.unknown

    decoder.subscribe(recording.subs())
    decoder.unsubscribe([sub.key for sub in recording.subs()[1:]] + ["1"])
    left = decoder.decode(frames(recording.messages)).packets
    assert set(left["instrument_id"].tolist()) == {11}


def test_an_empty_batch_decodes_to_nothing(recording: Recording) -> None:
    assert len(recording.decode([]).packets) == 0
    assert recording.decode([]).bad == []


def test_subscriptions_survive_the_journal(recording: Recording) -> None:
    assert decode_subscribe(encode_subscribe(recording.subs())) == recording.subs()


def test_instruments_and_subscriptions_agree(recording: Recording) -> None:
    resolved = recording.resolve(recording.symbols)

    assert [instrument.symbol for instrument, _ in resolved] == recording.symbols
    for instrument, sub in resolved:
        assert (instrument.id, sub.instrument_id) == (0, 0)
        assert (instrument.session_class, instrument.volume) == (sub.session_class, sub.volume)
        assert instrument.exchange
        assert instrument.name
        assert sub.divisor > 0
    assert len({sub.key for _, sub in resolved}) == len(resolved)
    assert recording.resolve([recording.symbols[0]] * 2) == resolved[:1]


def test_a_symbol_that_does_not_exist_is_named(recording: Recording) -> None:
    with pytest.raises(ConfigError, match="NO SUCH THING"):
        recording.resolve([recording.symbols[0], "NO SUCH THING"])

    problems: list[str] = []
    (found,) = recording.resolve(["NO SUCH THING", recording.symbols[0]], problems)
    assert found.instrument.symbol == recording.symbols[0]
    assert any("NO SUCH THING" in problem for problem in problems)


def test_the_session_class_can_be_overridden_for_all_or_for_one(recording: Recording) -> None:
    ours = recording.resolve(recording.symbols)
    first, second = recording.symbols[:2]

    def classes(session_class: str | dict[str, str]) -> list[str]:
        options = recording.options.model_copy(update={"session_class": session_class})
        resolved = recording.provider.resolve(recording.symbols, options, recording.instruments)
        return [sub.session_class for _, sub in resolved]

    assert set(classes("mine")) == {"mine"}
    assert classes({second: "mine"})[:2] == [ours[0].subscription.session_class, "mine"]
    assert classes({"*": "mine", first: "other"})[:2] == ["other", "mine"]


def secrets_of(options: BaseModel) -> list[str]:
    return [value.get_secret_value() for _, value in options if isinstance(value, SecretStr)]


def hard_to_miss(recording: Recording) -> BaseModel:
    """The options with secrets that would stand out."""
    secrets = {
        key: SecretStr(f"hush-{key}") for key, value in recording.options if isinstance(value, SecretStr)
    }
    return recording.options.model_copy(update=secrets)


def test_secrets_are_in_the_address_and_nowhere_else(recording: Recording) -> None:
    options = hard_to_miss(recording)
    live = recording.provider.live(options)
    heard = [live.receive(message) for message in recording.messages]
    echoes = [live.receive(f'{{"type":"error","data":"{secret}"}}') for secret in secrets_of(options)]
    shown = [repr(options), repr(heard + echoes), str(live.headers())]
    shown += [str(live.greeting(recording.subs())), str(live.farewell(recording.subs()))]
    for status in (403, 500):
        shown.append(str(live.refused(status, f'{{"message":"bad {" ".join(secrets_of(options))}"}}')))

    for secret in secrets_of(options):
        assert secret in live.url(recording.subs())
        assert not [text for text in shown if secret in text]


def test_a_connection_says_what_a_person_would_expect(recording: Recording) -> None:
    live = recording.provider.live(recording.options)
    subs = recording.subs()

    assert live.feed == recording.provider.name
    assert BY_NAME[live.feed].live
    assert live.url(subs).startswith(("ws://", "wss://"))
    assert live.greeting(subs)
    assert live.farewell(subs)
    assert live.greeting([]) == live.farewell([]) == []
    assert live.resolution_ns > 0
    assert 0 < live.silence_s < 120 or live.silence_s == math.inf
    assert live.max_instruments > 0
    assert live.max_connections > 0


def test_frames_with_packets_are_kept(recording: Recording) -> None:
    live = recording.provider.live(recording.options)
    with_packets = {int(row["frame"]) for row in recording.expected}

    for index in with_packets:
        heard = live.receive(recording.messages[index])
        assert heard.journal
        assert heard.data


def test_a_frame_without_packets_is_no_data_and_the_newest_stamp_is_that_of_its_packets(
    recording: Recording,
) -> None:
    """Silence of data is judged by both: a heartbeat is not data, and old stamps were only held up."""
    live = recording.provider.live(recording.options)
    by_frame: dict[int, list[int]] = {}
    for row in rows(recording.decode(recording.messages)):
        by_frame.setdefault(row["rec"] - FIRST_REC, []).append(row["ts_exchange"])

    for index, message in enumerate(recording.messages):
        if index not in by_frame:
            assert live.receive(message).data in (False, len(message) > 4)  # of instruments that are not ours
        else:
            assert live.stamp_ns(message) in (0, max(by_frame[index]))
    assert not live.receive(b"\x00").data


@pytest.mark.parametrize(
    "message",
    ["", "{", "null", "[]", '"text"', "7", "{}", "[" * 100_000, '{"type":{}}', '{"data":7}', b"", b"\xff"],
)
def test_hearing_never_raises(recording: Recording, message: str | bytes) -> None:
    live = recording.provider.live(recording.options)
    assert live.receive(message).reconnect == ""
    assert live.stamp_ns(message) == 0


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_trouble_on_their_side_is_worth_a_retry(recording: Recording, status: int) -> None:
    assert isinstance(recording.provider.live(recording.options).refused(status, "<html>"), TransientError)


def test_a_wrong_address_is_not(recording: Recording) -> None:
    assert isinstance(recording.provider.live(recording.options).refused(404, ""), PermanentError)


@pytest.mark.parametrize(
    "url", ["", "https://h", "ws://", "ws:///", "wss://h?api_key=x", "wss://user:pw@h", "h"]
)
def test_an_address_must_be_of_a_websocket_and_bare(recording: Recording, url: str) -> None:
    given = {
        key: value.get_secret_value() for key, value in recording.options if isinstance(value, SecretStr)
    }
    with pytest.raises(ValidationError) as caught:
        recording.provider.Options.model_validate({**given, "url": url})
    assert "pw" not in str(caught.value)


def test_options_are_frozen_and_strict(recording: Recording) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        recording.options.url = "ws://elsewhere"  # type: ignore[attr-defined]
    with pytest.raises(ValidationError, match="Extra inputs"):
        recording.provider.Options.model_validate({**recording.options.model_dump(), "ulr": "ws://h"})
