"""Tokens as files, and what stands in for a variable that is not set."""

import json
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mdingest.app.tokens import tokens_of, write_secret
from mdingest.config import Config, load
from mdingest.errors import ConfigError
from mdingest.providers import PROVIDERS

YAML = """
journal: {dir: d/journal}
symbols: [RELIANCE.NS]
realtime: [{provider: kite_ws}]
providers: {kite_ws: {api_key: k, %s}}
"""
KITE = PROVIDERS["kite_ws"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d").mkdir()
    return tmp_path


def config(line: str, env: dict[str, str] | None = None) -> Config:
    Path("c.yaml").write_text(YAML % line)
    return load("c.yaml", env or {})


def file(made: datetime, key: str = "k") -> None:
    text = json.dumps({"api_key": key, "access_token": "filed", "made_at": made.isoformat()})
    Path("d/kite_token.json").write_text(text)


def found(of: Config) -> list[str]:
    return [token.secret.get_secret_value() for token in tokens_of(KITE, of, [])]


def test_the_file_is_used_where_the_configuration_gives_no_token() -> None:
    file(datetime.now(UTC))

    assert found(config("mode: full")) == ["filed"]


def test_the_newer_one_comes_first() -> None:
    given = config("access_token: given")
    file(datetime.now(UTC) + timedelta(minutes=1))
    assert found(given) == ["filed", "given"]
    file(datetime.now(UTC) - timedelta(minutes=1))
    assert found(given) == ["given", "filed"]


def test_a_token_of_another_app_is_not_used_and_told() -> None:
    file(datetime.now(UTC), key="other")
    problems: list[str] = []

    assert tokens_of(KITE, config("mode: full"), problems) == []
    assert problems == ["d/kite_token.json: its token belongs to another api_key: run `mdingest login kite`"]


def test_a_variable_that_is_not_set_is_no_mistake_once_there_is_a_token_file() -> None:
    line = 'access_token: "${KITE_ACCESS_TOKEN}"'
    with pytest.raises(ConfigError, match="KITE_ACCESS_TOKEN is not set"):
        config(line)
    file(datetime.now(UTC))

    assert found(config(line)) == ["filed"]
    assert found(config(line, {"KITE_ACCESS_TOKEN": "set"})) == ["set", "filed"]


def test_a_login_may_begin_before_the_variable_is_set() -> None:
    Path("c.yaml").write_text(YAML % 'access_token: "${KITE_ACCESS_TOKEN}"')

    assert found(load("c.yaml", {}, forgive=["providers.kite_ws.access_token"])) == []


def test_other_variables_are_still_missed() -> None:
    file(datetime.now(UTC))
    with pytest.raises(ConfigError) as caught:
        config('access_token: "${KITE_ACCESS_TOKEN}", api_secret: "${KITE_API_SECRET}"')
    assert "KITE_API_SECRET is not set" in str(caught.value)


def test_a_secret_is_for_its_owner_alone_whatever_was_there_before(here: Path) -> None:
    path = here / "deep/kite_token.json"
    path.parent.mkdir()
    path.write_text("old")
    path.chmod(0o644)
    before = os.umask(0)
    try:
        write_secret(path, "new")
    finally:
        os.umask(before)

    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new\n", 0o600)
    assert [one.name for one in path.parent.iterdir()] == ["kite_token.json"]
