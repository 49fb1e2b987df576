"""The command line: parsing and printing only.

Nothing heavy is imported before a command runs, so that ``--help`` is quick.
"""

import os
import sys
from collections.abc import Sequence

from mdingest.cli.parsing import parser
from mdingest.errors import ConfigError, MdingestError

DONE, FAILED, USAGE, INCOMPLETE = 0, 1, 2, 3
"""Exit codes. ``INCOMPLETE``: finished, but some symbols or ranges failed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and say how it ended. Raises SystemExit for ``--help`` and bad usage."""
    _plug()
    args = parser().parse_args(argv)
    try:
        code: int = args.handler(args)
        sys.stdout.flush()  # here, so that a closed pipe is noticed where it is expected
    except MdingestError as exc:
        return _failed([exc])
    except BaseExceptionGroup as group:
        expected, bugs = group.split(MdingestError)
        if bugs is not None or expected is None:
            raise
        return _failed(_leaves(expected))
    except BrokenPipeError:  # whoever read our output has seen enough
        sys.stdout = None  # or the interpreter would flush it again
        return FAILED
    except OSError as exc:
        return _failed([exc])
    except KeyboardInterrupt:
        return FAILED
    return code


def _plug() -> None:
    """Where a standard output was closed (``>&-``) no file of ours may take its place; printing goes on."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))


def _failed(errors: Sequence[BaseException]) -> int:
    said = [
        f"{exc}" if isinstance(exc, ConfigError) and "\n" in str(exc) else f"mdingest: {exc}"
        for exc in errors
    ]
    for line in dict.fromkeys(said):  # a full disk stops several tasks with one and the same reason
        sys.stderr.write(f"{line}\n")
    return USAGE if all(isinstance(exc, ConfigError) for exc in errors) else FAILED


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    nested = (_leaves(exc) if isinstance(exc, BaseExceptionGroup) else [exc] for exc in group.exceptions)
    return [exc for leaves in nested for exc in leaves]
