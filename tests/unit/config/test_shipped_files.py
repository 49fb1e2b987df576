"""The files in config/ are right, and the example names every key."""

from pathlib import Path
from typing import get_args

import pytest
import yaml
from pydantic import BaseModel

from mdingest.config import Config, load
from mdingest.providers import HISTORY, PROVIDERS

ROOT = Path(__file__).parents[3]
FILES = sorted((ROOT / "config").glob("*.yaml"))
VARIABLES = {
    line.split("=")[0]: "made-up-value"
    for line in (ROOT / ".env.example").read_text().splitlines()
    if line and not line.startswith("#")
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_it_loads_with_the_variables_of_the_env_example(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    assert load(file, VARIABLES).symbols


@pytest.mark.parametrize("file", sorted((ROOT / "config/symbols").glob("*.yaml")), ids=lambda file: file.name)
def test_it_is_a_list_of_symbols(file: Path) -> None:
    config = load(ROOT / "config/demo.yaml", {}, {"symbols": {"file": str(file)}})

    assert len(config.symbols) == len(yaml.safe_load(file.read_text()))


def keys_of(model: type[BaseModel], prefix: str = "") -> set[str]:
    found = set()
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        found.add(key)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel) and kind is not BaseModel:
                found |= keys_of(kind, f"{key}.")
    return found


def keys_in(value: object, prefix: str = "") -> set[str]:
    if isinstance(value, list):
        return {key for item in value for key in keys_in(item, prefix)}
    if not isinstance(value, dict):
        return set()
    return {f"{prefix}{key}" for key in value} | {
        inner for key, item in value.items() for inner in keys_in(item, f"{prefix}{key}.")
    }


def test_the_example_has_every_key_there_is() -> None:
    known = keys_of(Config) | {"backfill.provider"}  # short for a list of one
    for name, provider in (*PROVIDERS.items(), *HISTORY.items()):
        known |= {f"providers.{name}"} | keys_of(provider.Options, f"providers.{name}.")
    shown = keys_in(yaml.safe_load((ROOT / "config/config.example.yaml").read_text()))
    borrowed = {  # said once, for the live feed of the same account
        f"providers.{name}.{key}"
        for name, provider in HISTORY.items()
        if provider.account
        for key in provider.Options.model_fields
    }

    assert known - borrowed == shown - borrowed
    assert shown <= known


def test_the_example_shows_the_defaults() -> None:
    default, example = Config(), load(ROOT / "config/config.example.yaml", VARIABLES)

    for key in ("database", "journal", "api", "candles", "alerts", "runtime", "calendar"):
        assert getattr(example, key) == getattr(default, key), key


def test_the_demo_talks_to_this_machine_only() -> None:
    text = (ROOT / "config/demo.yaml").read_text()
    options = load(ROOT / "config/demo.yaml", {}).providers["kite_ws"].model_dump()

    assert options["url"].startswith("ws://127.0.0.1:")
    assert options["instruments"].startswith("http://127.0.0.1:")
    assert options["session_class"] == "always"
    assert "wss://" not in text
