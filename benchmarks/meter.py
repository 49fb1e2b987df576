"""Inside a daemon's own process: how much CPU its journal takes, while everything else goes on.

Loaded before the daemon by `benchmarks.processes.mdingest`. Appending and syncing are timed by the
clock of the thread they run in, which stands still while others run.
"""

import json
import threading
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

_TELL_S = 0.25


def start(file: Path) -> None:
    """Write CPU seconds so far into ``file``, by method of the journal, from now on until the end."""
    from mdingest.pipeline.journal import Journal
    from mdingest.pipeline.logfile import LogFile

    spent = {"append": 0.0, "sync": 0.0}
    Journal.append = _timed(Journal.append, "append", spent)  # type: ignore[method-assign]
    LogFile.sync = _timed(LogFile.sync, "sync", spent)  # type: ignore[method-assign]
    threading.Thread(target=_tell, args=(file, spent), daemon=True).start()


def read(file: Path) -> float:
    """CPU seconds so far, of all methods."""
    return sum(json.loads(file.read_text()).values())


def _timed(method: Callable[..., Any], name: str, spent: dict[str, float]) -> Callable[..., Any]:
    @wraps(method)
    def timed(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - any method's
        begun = time.thread_time()
        try:
            return method(*args, **kwargs)
        finally:
            spent[name] += time.thread_time() - begun

    return timed


def _tell(file: Path, spent: dict[str, float]) -> None:
    fresh = file.with_suffix(".new")
    while True:
        fresh.write_text(json.dumps(spent))
        fresh.replace(file)
        time.sleep(_TELL_S)
