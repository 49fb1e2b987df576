from pathlib import Path

import pytest

from mdingest.errors import ConfigError
from mdingest.store.urls import dialect_of, sqlite_path


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///data/mdingest.db", "data/mdingest.db"),
        ("sqlite:////var/lib/mdingest.db", "/var/lib/mdingest.db"),
        ("sqlite:///my%20data/x.db", "my data/x.db"),
    ],
)
def test_three_slashes_are_relative_and_four_absolute(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)
    assert dialect_of(url) == "sqlite"


def test_a_home_is_a_place_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/trader")
    assert sqlite_path("sqlite:///~/market.db") == Path("/home/trader/market.db")


@pytest.mark.parametrize(
    "url",
    ["sqlite://data/x.db", "sqlite:///", "sqlite:///:memory:", "sqlite:///x.db?mode=ro", "sqlite:///data/"],
)
def test_an_address_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="names a file"):
        sqlite_path(url)


@pytest.mark.parametrize("url", ["", "data/x.db", "mysql://root:hunter2@host/db"])
def test_another_kind_of_database_is_refused_without_repeating_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="must look like") as refused:
        sqlite_path(url)
    assert "hunter2" not in str(refused.value)


def test_a_postgresql_address_is_no_sqlite_file() -> None:
    with pytest.raises(ConfigError, match="needs a SQLite file") as refused:
        sqlite_path("postgresql://me:hunter2@host/db")
    assert "hunter2" not in str(refused.value)
    assert dialect_of("postgresql://host/db") == "postgres"
