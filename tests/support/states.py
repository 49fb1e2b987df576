"""States to be saved, as bytes that a test has made up."""

from mdingest.core.saving import Writable
from mdingest.pipeline.statefile import WriteState


def writes(*parts: bytes) -> WriteState:
    """What `StateFiles.save` takes."""

    def write(out: Writable) -> None:
        for part in parts:
            out.write(part)

    return write
