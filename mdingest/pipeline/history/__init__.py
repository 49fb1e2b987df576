"""Backfill: what is missing, asked for in the fewest requests, checked, and stored by rank."""

from mdingest.pipeline.history.backfill import Backfill, Order
from mdingest.pipeline.history.report import Progress, Report, SymbolReport

__all__ = ["Backfill", "Order", "Progress", "Report", "SymbolReport"]
