"""Names cost nothing; who is looked up is who was asked for."""

import pytest

from mdingest.providers import HISTORY, PROVIDERS, histories_of
from mdingest.providers.registry import Registry


def test_names_alone_import_no_adapter() -> None:
    def imported() -> int:
        raise AssertionError("nobody looked it up")

    registry = Registry({"one": imported, "two": imported})

    assert (sorted(registry), len(registry), "one" in registry) == (["one", "two"], 2, True)
    assert ("three" in registry, registry.get("three")) == (False, None)


@pytest.mark.parametrize("registry", [PROVIDERS, HISTORY], ids=["live", "history"])
def test_every_name_finds_the_provider_of_that_name(registry: Registry[object]) -> None:
    assert {name: getattr(provider, "name", "") for name, provider in registry.items()} == dict(
        zip(registry, registry, strict=True)
    )


def test_the_history_of_a_feed_is_that_of_its_broker() -> None:
    assert {feed: histories_of(feed) for feed in PROVIDERS} == {
        "kite_ws": ["kite"],
        "binance_ws": ["binance"],
    }
    assert all(HISTORY[name].account in ("", f"{name}_ws") for name in HISTORY)
