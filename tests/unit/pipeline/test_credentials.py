"""Which token is in force: the newest that is alive, and that nobody has refused."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from aiohttp import web
from pydantic import SecretStr

from mdingest.errors import PermanentError, Unauthorized
from mdingest.pipeline.credentials import AGAIN_S, Credentials
from mdingest.providers.base import Call, Token
from mdingest.telemetry.clock import Clock, parse_clock

NOON = "2026-11-20T12:00:00+00:00"
HOUR = 3600 * 10**9
NOW = int(datetime.fromisoformat(NOON).timestamp()) * 10**9


class Desk:
    """Credentials whose tokens, and what becomes of them, the test decides."""

    def __init__(
        self, *tokens: Token, probe: str = "http://127.0.0.1:9/", clock: Clock | None = None
    ) -> None:
        self.tokens: Sequence[Token] = tokens
        self.changes: list[str] = []
        self.asked: list[int] = []
        self.now_s = 0.0
        self.credentials = Credentials(
            "kite_ws",
            clock or parse_clock(NOON),
            candidates=lambda: self.tokens,
            unusable=lambda token: Unauthorized("missing" if token is None else "expired", "log in"),
            probe=lambda _: Call(probe, {}),
            doubted=self._doubted,
            on_change=lambda token: self.changes.append(token.secret.get_secret_value()),
            now_s=lambda: self.now_s,
        )
        self.credentials.look()

    def _doubted(self, refusal: PermanentError, status: int) -> PermanentError:
        self.asked.append(status)
        return Unauthorized(f"{refusal} and {status}")

    @property
    def state(self) -> object:
        return self.credentials.detail()[1]["state"]


def token(secret: str, *, expires_ns: int | None = NOW + HOUR, source: str = "file") -> Token:
    return Token(SecretStr(secret), source, NOW - HOUR, expires_ns)


def test_the_first_that_is_alive_is_taken() -> None:
    desk = Desk(token("old", expires_ns=NOW - 1), token("new"))

    assert desk.changes == ["new"]
    assert (desk.state, desk.credentials.unfit()) == ("valid", None)


def test_without_any_it_says_what_to_do() -> None:
    well, detail = Desk().credentials.detail()

    assert (well, detail["state"], detail["what_to_do"]) == (False, "missing", "log in")


def test_one_that_dies_is_told_and_the_next_is_taken_by_itself() -> None:
    desk = Desk(token("old", expires_ns=NOW - 1))
    assert desk.state == "expired"
    assert str(desk.credentials.expired()) == "expired. log in"

    desk.tokens = [token("new")]

    assert desk.credentials.look()
    assert not desk.credentials.look()
    assert (desk.changes, desk.credentials.expired()) == (["new"], None)


async def test_a_refused_one_is_not_tried_again_while_another_is_there() -> None:
    desk = Desk(token("bad", source="configuration"), token("good"))

    why = await desk.credentials.explain(Unauthorized("403"))

    assert str(why) == "403", "nobody answered the probe"
    assert desk.state == "refused"
    assert desk.credentials.look()
    assert (desk.changes, desk.state) == (["bad", "good"], "valid")


async def test_a_person_may_ask_for_a_refused_one_again() -> None:
    desk = Desk(token("bad"))
    await desk.credentials.explain(Unauthorized("403"))
    assert not desk.credentials.look()

    desk.credentials.forgive()

    assert desk.credentials.unfit() is None


async def test_a_refusal_that_nobody_confirms_is_tried_again_after_a_while() -> None:
    """A gateway's passing fault must not cost a day."""
    desk = Desk(token("good"))
    await desk.credentials.explain(Unauthorized("403"))

    desk.now_s = AGAIN_S - 1
    assert not desk.credentials.look()
    desk.now_s = AGAIN_S
    assert desk.credentials.look()
    assert (desk.changes, desk.state) == (["good", "good"], "valid")


@pytest.mark.parametrize("status", [200, 403])
async def test_the_provider_is_asked_once_what_a_refusal_means(status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/user/profile", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        desk = Desk(token("bad"), probe=f"http://127.0.0.1:{runner.addresses[0][1]}/user/profile")
        why = await desk.credentials.explain(Unauthorized("403"))
        again = await desk.credentials.explain(Unauthorized("later"))
    finally:
        await runner.cleanup()

    assert str(why) == f"403 and {status}"
    assert str(again) == "later"
    assert desk.asked == [status]
    desk.now_s = AGAIN_S
    assert desk.credentials.look() == (status == 200), "a token that its maker calls dead stays so"


def test_nothing_shows_the_token() -> None:
    desk = Desk(token("topsecret"))

    assert "topsecret" not in str(desk.credentials.detail())
    assert desk.credentials.detail()[1]["expires_at"] == datetime.fromtimestamp(
        (NOW + HOUR) // 10**9, UTC
    ).isoformat().replace("+00:00", "Z")
