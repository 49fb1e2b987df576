"""Backfill: what is missing, asked for in the fewest requests, checked, and stored by rank."""

from mdingest.pipeline.history.backfill import Backfill
from mdingest.pipeline.history.fallback import Chain
from mdingest.pipeline.history.order import Order
from mdingest.pipeline.history.report import Progress, Report, SymbolReport

__all__ = ["Backfill", "Chain", "Order", "Progress", "Report", "SymbolReport"]
