"""What a feed subscribes, when the list of its instruments can't be read."""

from pathlib import Path
from typing import Any

import pytest

from mdingest.app.subscribing import wanted_of
from mdingest.config import load
from mdingest.errors import TransientError
from mdingest.providers import PROVIDERS
from tests.support.processes import write_config

UNREADABLE = Path("/proc/self/mem")  # a file that can be opened, and whose first byte can't be had


async def test_a_list_that_cannot_be_read_is_read_again_later_and_ends_nothing(tmp_path: Path) -> None:
    nowhere: Any = None  # no store is asked
    path = write_config(
        tmp_path, simulator="ws://127.0.0.1:1", instruments=UNREADABLE, symbols=["RELIANCE.NS"]
    )
    with pytest.raises(TransientError, match="mem can't be read"):
        await wanted_of(load(path), PROVIDERS["kite_ws"], ("RELIANCE.NS",), nowhere)
