import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from pydantic import ValidationError

from mdingest.errors import PermanentError, TransientError
from mdingest.providers.kite.options import KiteOptions
from mdingest.providers.kite.session import KiteLive
from tests.support.frames import kite_sub


def options(**given: object) -> KiteOptions:
    return KiteOptions.model_validate({"api_key": "kkk", "access_token": "ttt", **given})


def live(**given: object) -> KiteLive:
    return KiteLive(options(**given))


def test_credentials_go_into_the_query_however_they_are_written() -> None:
    address = urlsplit(live(url="ws://127.0.0.1:8766/", access_token="a&b=c d").url([]))

    assert (address.scheme, address.netloc) == ("ws", "127.0.0.1:8766")
    assert parse_qs(address.query) == {"api_key": ["kkk"], "access_token": ["a&b=c d"]}


def test_the_version_is_announced_as_the_official_clients_do() -> None:
    assert live().headers() == {"X-Kite-Version": "3"}


def test_a_greeting_subscribes_and_then_asks_for_the_mode_with_tokens_as_integers() -> None:
    said = [json.loads(m) for m in live().greeting([kite_sub(408065, 1), kite_sub(256265, 2)])]

    assert said == [
        {"a": "subscribe", "v": [408065, 256265]},
        {"a": "mode", "v": ["full", [408065, 256265]]},
    ]


def test_many_tokens_go_in_portions_and_none_is_lost() -> None:
    subs = [kite_sub(n << 8 | 1, n) for n in range(1, 3001)]
    said = [json.loads(m) for m in live(mode="quote").greeting(subs)]

    subscribed = [token for message in said if message["a"] == "subscribe" for token in message["v"]]
    moded = [token for message in said if message["a"] == "mode" for token in message["v"][1]]
    assert subscribed == moded == [n << 8 | 1 for n in range(1, 3001)]
    assert max(len(message["v"]) for message in said) <= 200
    assert {message["v"][0] for message in said if message["a"] == "mode"} == {"quote"}
    left = [json.loads(m) for m in live().farewell(subs)]
    assert [token for message in left for token in message["v"]] == subscribed
    assert {message["a"] for message in left} == {"unsubscribe"}


@pytest.mark.parametrize("frame", [b"\x00", b"\x00\x00", b"\x00\x01\x00\x08" + bytes(8)])
def test_all_binary_is_kept(frame: bytes) -> None:
    heard = live().receive(frame)

    assert (heard.journal, heard.note, heard.replies) == (True, "", ())


def test_orders_are_neither_kept_nor_shown() -> None:
    heard = live().receive('{"type":"order","data":{"order_id":"77","account_id":"AB1234"}}')

    assert (heard.journal, heard.note) == (False, "")


def test_what_may_be_a_mangled_order_is_not_shown_either() -> None:
    heard = live().receive('{"type":"order","data":{"account_id":"AB1234"')

    assert not heard.journal
    assert heard.note
    assert "AB1234" not in heard.note


@pytest.mark.parametrize(
    ("frame", "note"),
    [
        ('{"type":"error","data":"more than 3000 tokens"}', "error: more than 3000 tokens"),
        ('{"type":"message","data":"maintenance\\n at 6"}', "message: maintenance at 6"),
        ('{"type":"error","data":"token ttt of kkk"}', "error: token *** of ***"),
        ('{"type":"new","data":"x"}', "text of an unknown type new"),
        ("[]", "text of an unknown type None"),
    ],
)
def test_other_text_is_noted_but_not_kept(frame: str, note: str) -> None:
    heard = live().receive(frame)

    assert (heard.journal, heard.note) == (False, note)


def test_a_note_has_a_bounded_length() -> None:
    assert len(live().receive('{"type":"error","data":"' + "x" * 100_000 + '"}').note) < 300


def test_403_says_what_a_person_can_do() -> None:
    error = live().refused(403, '{"status":"error","message":"Incorrect `api_key` or `access_token`."}')

    assert isinstance(error, PermanentError)
    for words in (
        "HTTP 403",
        "Incorrect `api_key`",
        "access token has expired",
        "access_token",
        "market data",
    ):
        assert words in str(error)


@pytest.mark.parametrize("body", ["", "<html>", "[]", '{"message":7}', "[" * 100_000])
def test_a_refusal_may_have_any_body(body: str) -> None:
    assert str(live().refused(502, body)) == "Kite refused the connection with HTTP 502"


@pytest.mark.parametrize("status", [200, 301, 408, 429, 500, 503])
def test_what_may_pass_is_tried_again(status: int) -> None:
    assert isinstance(live().refused(status, ""), TransientError)


@pytest.mark.parametrize("status", [400, 401, 404])
def test_what_will_not_pass_parks_the_feed(status: int) -> None:
    assert isinstance(live().refused(status, ""), PermanentError)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"mode": "ltp"}, "ltp carries no volume and no time"),
        ({"mode": "all"}, "must be full or quote"),
        ({"api_key": " "}, "is empty"),
        ({"access_token": ""}, "is empty"),
        ({"divisors": {"XYZ": 10.0}}, "no segment XYZ; there are NSE, NFO"),
        ({"divisors": {"CDS": 0}}, "greater than 0"),
        ({"divisors": {"CDS": float("inf")}}, "less than"),
    ],
)
def test_options_that_cannot_work_are_refused_with_the_reason(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as caught:
        options(**given)
    assert "ttt" not in str(caught.value)


def test_divisors_can_be_corrected_by_segment() -> None:
    corrected = options(divisors={"BCD": 1e7})

    assert corrected.divisor_of(2000 << 8 | 6) == 1e7
    assert corrected.divisor_of(1000 << 8 | 3) == 1e7
    assert corrected.divisor_of(3000 << 8 | 12) == 1e4
    assert corrected.divisor_of(408065) == 100.0
    assert corrected.divisor_of(5 << 8 | 200) == 100.0  # a segment nobody has heard of


def test_a_frame_says_when_it_was_made_by_its_newest_whole_packet() -> None:
    def packet(length: int, stamp_at: int, stamp: int) -> bytes:
        body = bytearray(length)
        body[stamp_at : stamp_at + 4] = stamp.to_bytes(4, "big")
        return length.to_bytes(2, "big") + bytes(body)

    full, index = packet(184, 60, 1_795_150_815), packet(32, 28, 1_795_150_816)
    frame = b"\x00\x03" + full + packet(44, 40, 4_000_000_000) + index
    stamp_ns = live().stamp_ns
    assert stamp_ns(frame) == 1_795_150_816 * 10**9
    assert stamp_ns(frame[:-1]) == 1_795_150_815 * 10**9, "what is torn says nothing"
    assert stamp_ns(b"\x00\x01" + packet(8, 0, 4_000_000_000)) == 0
    assert stamp_ns(b"\xff" * 50) == 0
