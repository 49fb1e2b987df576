"""Clock, logging, metrics and health: what every floor above may use."""

import sys

# structlog takes rich and twisted along where they are installed, for tracebacks that we don't
# show: 10 MB and 60 ms. Hidden while it is imported, they can be imported later by who needs them.
_hidden = [name for name in ("rich", "twisted") if name not in sys.modules]
for _name in _hidden:
    sys.modules[_name] = None  # type: ignore[assignment]  # the documented way to say: not to be found

import structlog as structlog  # noqa: E402 - now, while they are hidden

for _name in _hidden:
    del sys.modules[_name]
