"""The way to an access token, without a network: address, signature, reply, file."""

import json
from datetime import datetime

import pytest

from mdingest.errors import ConfigError, PermanentError, TransientError, Unauthorized
from mdingest.providers.kite.login import KiteAccess, checksum, expiry, request_token_of
from mdingest.providers.kite.options import KiteOptions

ACCESS = KiteAccess()


def options(**given: object) -> KiteOptions:
    return KiteOptions.model_validate({"api_key": "kitedemo", "api_secret": "s3cret", **given})


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9


def test_the_checksum_is_that_of_the_protocol() -> None:
    assert (
        checksum("kitedemo", "reqtok123", "s3cret")
        == "689f58d18565fc220804f13dabc5254b691c9d453905cb4ef197656e578b138a"
    )


def test_the_address_is_kites_page_with_the_key() -> None:
    assert ACCESS.address(options()) == "https://kite.zerodha.com/connect/login?v=3&api_key=kitedemo"
    elsewhere = options(login="http://127.0.0.1:9/login")
    assert ACCESS.address(elsewhere) == "http://127.0.0.1:9/login?v=3&api_key=kitedemo"


def test_whoever_stands_in_for_the_api_has_the_page_too() -> None:
    simulated = options(url="ws://127.0.0.1:8765")
    proxied = options(url="ws://127.0.0.1:8765", api="https://api.kite.trade")

    assert simulated.login_page == "http://127.0.0.1:8765/connect/login"
    assert proxied.login_page == "https://kite.zerodha.com/connect/login"


@pytest.mark.parametrize(
    "pasted",
    [
        "reqtok123",
        "  reqtok123\n",
        "https://me.example/back?request_token=reqtok123&action=login&status=success",
        "https://me.example/?status=success&action=login&request_token=reqtok123#x",
        "request_token=reqtok123&status=success",
    ],
)
def test_a_request_token_is_found_in_whatever_is_pasted(pasted: str) -> None:
    assert request_token_of(pasted) == "reqtok123"


@pytest.mark.parametrize(
    ("pasted", "words"),
    [
        ("", "no request token"),
        ("a b", "no request token"),
        ("https://me.example/?request_token=", "no request token"),
        ("https://me.example/?request_token=abcd&status=error", "did not succeed"),
    ],
)
def test_what_is_no_request_token_is_refused_without_repeating_it(pasted: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        request_token_of(pasted)
    assert "abcd" not in str(caught.value)


def test_the_exchange_is_signed_and_shows_no_secret() -> None:
    call = ACCESS.exchange(options(), "reqtok123")

    assert call.url == "https://api.kite.trade/session/token"
    assert call.form == {
        "api_key": "kitedemo",
        "request_token": "reqtok123",
        "checksum": "689f58d18565fc220804f13dabc5254b691c9d453905cb4ef197656e578b138a",
    }
    assert "reqtok123" not in repr(call)
    with pytest.raises(ConfigError, match=r"providers\.kite_ws\.api_secret"):
        ACCESS.exchange(KiteOptions.model_validate({"api_key": "k"}), "reqtok123")


@pytest.mark.parametrize(
    ("given", "root"),
    [
        ({}, "https://api.kite.trade"),
        ({"url": "ws://127.0.0.1:9"}, "http://127.0.0.1:9"),
        ({"url": "wss://proxy.example"}, "https://proxy.example"),
        ({"url": "ws://127.0.0.1:9", "api": "http://127.0.0.1:8/"}, "http://127.0.0.1:8"),
    ],
)
def test_a_stub_of_the_feed_never_makes_us_talk_to_the_real_broker(given: dict[str, str], root: str) -> None:
    assert options(**given).rest == root


@pytest.mark.parametrize(
    ("made", "dies"),
    [
        ("2026-11-20T09:00:00+05:30", "2026-11-21T06:00:00+05:30"),
        ("2026-11-20T23:59:59+05:30", "2026-11-21T06:00:00+05:30"),
        ("2026-11-21T05:59:59+05:30", "2026-11-21T06:00:00+05:30"),
        ("2026-11-21T06:00:00+05:30", "2026-11-22T06:00:00+05:30"),
        ("2026-12-31T12:00:00+00:00", "2027-01-01T06:00:00+05:30"),
    ],
)
def test_a_token_dies_at_six_in_the_morning_in_india(made: str, dies: str) -> None:
    assert expiry(ns(made)) == ns(dies)


def test_what_is_granted_can_be_read_again_by_its_own_app_only() -> None:
    made = ns("2026-11-20T09:00:00+05:30")
    reply = json.dumps({"status": "success", "data": {"access_token": "tok", "user_id": "AB1234"}})

    text = ACCESS.granted(options(), 200, reply, made)
    token = ACCESS.read(options(), text, "kite_token.json")

    assert token.secret.get_secret_value() == "tok"
    assert (token.made_ns, token.expires_ns) == (made, ns("2026-11-21T06:00:00+05:30"))
    assert "tok'" not in repr(token)
    with pytest.raises(ConfigError, match="another api_key"):
        ACCESS.read(options(api_key="other"), text, "kite_token.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"access_token": 7}', "{" * 9999])
def test_a_damaged_token_file_says_what_to_do(text: str) -> None:
    with pytest.raises(ConfigError, match="mdingest login kite"):
        ACCESS.read(options(), text, "kite_token.json")


def test_a_refused_login_says_why_without_secrets() -> None:
    reply = json.dumps({"status": "error", "message": "Invalid checksum for kitedemo/s3cret"})

    with pytest.raises(PermanentError) as caught:
        ACCESS.granted(options(), 403, reply, 0)

    assert "HTTP 403: Invalid checksum for ***/***" in str(caught.value)
    assert "once" in caught.value.todo


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_broker_in_trouble_is_worth_another_try(status: int) -> None:
    with pytest.raises(TransientError):
        ACCESS.granted(options(), status, "<html>", 0)


def test_an_answer_without_a_token_is_no_login() -> None:
    with pytest.raises(PermanentError, match="no access token"):
        ACCESS.granted(options(), 200, '{"data": {}}', 0)


def test_a_probe_tells_a_dead_token_from_an_app_without_market_data() -> None:
    refusal = Unauthorized("403")

    assert "no market data" in str(ACCESS.doubted(refusal, 200))
    assert "mdingest login kite" in ACCESS.doubted(refusal, 403).todo
    assert ACCESS.doubted(refusal, 500) is refusal
