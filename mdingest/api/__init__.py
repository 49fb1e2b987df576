"""HTTP: candles and what is missing from them, and how the process is doing.

Reads through a small interface (`Reader`); knows neither the configuration nor who writes.
"""

from mdingest.api.missing import Missing, missing
from mdingest.api.series import Changes
from mdingest.api.server import Served, create_app, serving
from mdingest.api.wanted import Reader

__all__ = ["Changes", "Missing", "Reader", "Served", "create_app", "missing", "serving"]
