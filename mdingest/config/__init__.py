"""The configuration; the only reader of YAML and of the environment.

`load` refuses everything that is wrong before anything starts, one line a mistake. Objects
receive values out of a `Config`, never the `Config` itself.
"""

from mdingest.config.loading import (
    addresses_of,
    effective,
    encrypted,
    for_simulators,
    load,
    read_clock,
    real_addresses,
)
from mdingest.config.model import Config

__all__ = [
    "Config",
    "addresses_of",
    "effective",
    "encrypted",
    "for_simulators",
    "load",
    "read_clock",
    "real_addresses",
]
