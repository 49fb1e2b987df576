"""What a person reads of requests that came to nothing."""

from mdingest.errors import TransientError
from mdingest.pipeline.history.report import SymbolReport


def test_a_request_is_named_once() -> None:
    said = SymbolReport("TCS.NS", "1m", "kite")

    said.fail("http://a/2?from=1", TransientError("http://a/2?from=1: ClientConnectorError"), asked=True)
    said.fail("http://a/3", TransientError("it answered 500"), asked=True)

    assert said.failures == ["http://a/2?from=1: ClientConnectorError", "http://a/3: it answered 500"]


def test_one_that_was_not_asked_says_so_and_names_the_one_that_was() -> None:
    said = SymbolReport("TCS.NS", "1m", "kite")

    said.fail("http://a/2", TransientError("http://a/1: ClientConnectorError"), asked=False)

    assert said.failures == ["http://a/2: not asked, since http://a/1: ClientConnectorError"]
