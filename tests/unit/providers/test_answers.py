"""What a reply's headers wish for."""

from io import BytesIO

import pytest

from mdingest.providers.answers import retry_after_s
from mdingest.providers.asking import HttpRequest, Reply

ABSURD = f"Mon, 20 Nov 1995 19:12:08 +{10**20}"
EARLY, LATE = "Mon, 20 Nov 1995 19:12:08 GMT", "Mon, 20 Nov 1995 19:13:08 GMT"


@pytest.mark.parametrize(
    ("wish", "date", "wait_s"),
    [("30", "", 30.0), (LATE, EARLY, 60.0), (EARLY, LATE, 0.0), (ABSURD, EARLY, None), (LATE, ABSURD, None)],
)
def test_a_wish_to_wait_is_told_in_seconds_and_an_absurd_one_is_none(
    wish: str, date: str, wait_s: float | None
) -> None:
    headers = {"retry-after": wish, "date": date}
    assert retry_after_s(Reply(HttpRequest("http://broker"), BytesIO(), 429, headers)) == wait_s
