"""Servers that speak a broker's protocol, with faults on request.

They import nothing of the adapters, so that a mistake can't be shared and so hide.
"""

from mdingest.simulators.instruments import (
    SimInstrument,
    default_instruments,
    named_instruments,
    synthetic_instruments,
)
from mdingest.simulators.kite import KiteSimulator
from mdingest.simulators.mock import KiteMockOptions, run_mock

__all__ = [
    "KiteMockOptions",
    "KiteSimulator",
    "SimInstrument",
    "default_instruments",
    "named_instruments",
    "run_mock",
    "synthetic_instruments",
]
