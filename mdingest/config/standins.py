"""Secrets that need not be set because something else makes up for them: a token file, a login to come."""

from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from mdingest.providers.options import ProviderOptions

_DEPTH = 3  # of providers.NAME.KEY


def without_unset(
    name: str,
    model: type[BaseModel] | None,
    given: object,
    mistakes: list[tuple[tuple[str | int, ...], str]],
    data: Path,
    forgive: Sequence[str],
) -> object:
    """A provider's section without the secrets whose variables are not set, if that is all right.

    ``forgive`` names dotted keys for which it always is; ``data`` is where the provider's own
    files are. What was a mistake then is taken out of ``mistakes``; else all stays as it was.
    """
    unset = [loc for loc, _ in mistakes if loc[:2] == ("providers", name) and len(loc) == _DEPTH]
    if not unset or not isinstance(given, dict) or model is None:
        return given
    without = {key: value for key, value in given.items() if ("providers", name, key) not in unset}
    try:
        options = model.model_validate(without)
    except ValidationError:
        return given  # told with all other mistakes
    if not isinstance(options, ProviderOptions):
        return given
    options = options.beside(data)
    for loc in unset:
        file = options.stand_in_of(str(loc[-1]))
        if ".".join(map(str, loc)) not in forgive and not (file is not None and file.exists()):
            return given
    mistakes[:] = [mistake for mistake in mistakes if mistake[0] not in unset]
    return without
