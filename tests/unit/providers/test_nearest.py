"""What is said of a symbol that a list does not have."""

from mdingest.providers.nearest import not_listed

KNOWN = ["HDFCBANK.NS", "INFY.NS", "RELIANCE.NS", "RELIANCE.BO", "TCS.NS"]


def test_only_what_looks_like_it_is_suggested_and_an_exchange_in_common_is_no_likeness() -> None:
    assert not_listed("FOOBAR.NS", KNOWN, "Kite's").endswith("nor anything like it")
    assert not_listed("FOO.NS", KNOWN, "Kite's").endswith("nor anything like it")
    assert not_listed("RELIANSE.NS", KNOWN, "Kite's").endswith("did you mean RELIANCE.NS, RELIANCE.BO?")
    assert not_listed("TCS", KNOWN, "Kite's").endswith("did you mean TCS.NS?")
