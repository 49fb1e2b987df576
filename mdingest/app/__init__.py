"""Builds the programs from a Config; the only place that knows every other."""

from mdingest.app.backfilling import Wanted, run_backfill
from mdingest.app.daemon import run_daemon, run_demo, run_serve
from mdingest.app.replaying import run_replay

__all__ = ["Wanted", "run_backfill", "run_daemon", "run_demo", "run_replay", "run_serve"]
