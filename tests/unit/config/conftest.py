"""A directory of one's own to write configurations into."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mdingest.config import Config, load
from mdingest.errors import ConfigError

Load = Callable[..., Config]
Refuse = Callable[..., list[str]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, empty."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def loaded(here: Path) -> Load:
    """Load what the text says."""

    def load_text(text: str, env: dict[str, str] | None = None, **overrides: object) -> Config:
        (here / "c.yaml").write_text(text)
        return load("c.yaml", env or {}, {key.replace("__", "."): value for key, value in overrides.items()})

    return load_text


@pytest.fixture
def refused(loaded: Load) -> Refuse:
    """The lines of the error that the text deserves."""

    def refuse(text: str, env: dict[str, str] | None = None, **overrides: object) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            loaded(text, env, **overrides)
        return str(caught.value).splitlines()

    return refuse
