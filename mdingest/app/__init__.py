"""Builds the programs from a Config; the only place that knows every other.

A name is imported when it is asked for: a backfill has no use for the daemon's libraries.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import mdingest.telemetry  # noqa: F401 - before anybody imports structlog: see there

if TYPE_CHECKING:
    from mdingest.app.backfilling import Wanted, run_backfill
    from mdingest.app.daemon import run_daemon, run_demo, run_serve
    from mdingest.app.replaying import run_replay

__all__ = ["Wanted", "run_backfill", "run_daemon", "run_demo", "run_replay", "run_serve"]

_HOMES = {
    "Wanted": "backfilling",
    "run_backfill": "backfilling",
    "run_daemon": "daemon",
    "run_demo": "daemon",
    "run_replay": "replaying",
    "run_serve": "daemon",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever bears the name
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
