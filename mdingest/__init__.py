"""An honest, complete and queryable record of candles: live, backfilled, repaired."""

__version__ = "0.1.0"
