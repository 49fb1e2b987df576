"""Every error raised on purpose. The class says what happens next.

======================  ====================================================
``ConfigError``         refused before anything starts; exit code 2
``TransientError``      retried with full jitter, capped at 60 s
``NotYet``              left for a later run; nothing else of that provider waits for it
``PermanentError``      this feed is parked, health shows it, the others run
``NotThere``            the same, because there is no such thing: nobody asks again for some minutes
``Adjusted``            the same for one series: `backfill --force` may bring it anew as a whole
``Unauthorized``        the same, because of its credentials: they are read again when they change
``DecodeError``         counted, the frame is sampled into the log, go on
``StoreUnavailable``    the writer retries the same batch; frames wait in the journal
``Fenced``              another ingester owns the database: exit 1
``AlreadyRunning``      a lock is held by a living process: exit 1
``JournalError``        the journal can't be read or written as asked; exit 1
======================  ====================================================

Anything else that is raised is a bug: the process ends and its supervisor starts it again.
"""

import errno


class MdingestError(Exception):
    """Base of all of them; its text is meant for the user."""


class ConfigError(MdingestError):
    """The configuration or the command line is wrong. One line a mistake, with its YAML path."""


class TransientError(MdingestError):
    """It may work later.

    ``retry_after_s`` is the other side's own wish in seconds, or ``None``.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class NotYet(TransientError):
    """What was asked for does not exist yet; asking again at once would not help."""


class PermanentError(MdingestError):
    """It will not work until a person changes something; the text says what.

    ``reason`` is what is wrong, ``todo`` what a person can do about it, or empty.
    """

    def __init__(self, reason: str, todo: str = "") -> None:
        super().__init__(f"{reason.removesuffix('.')}. {todo}" if todo else reason)
        self.reason, self.todo = reason, todo


class Adjusted(PermanentError):
    """A series that was fetched is a stored one times a constant: they can't be mixed."""


class NotThere(PermanentError):
    """What was asked for does not exist, though it should."""


class Unauthorized(PermanentError):
    """There are no credentials that the other side takes."""


class DecodeError(MdingestError):
    """A frame is not what its protocol promises."""


class StoreUnavailable(MdingestError):
    """The database can't take the transaction now; nothing of it was kept."""


class Fenced(MdingestError):
    """The ingest role of the database was taken by a later owner."""


class AlreadyRunning(MdingestError):
    """Another process holds the journal or the database; the text names it."""


class JournalError(MdingestError):
    """The journal can't be used as asked."""


class Deleted(JournalError):
    """Somebody has deleted a file of the journal."""


class CantRead(JournalError):
    """The system refused to read: the bytes may be good. ``passing``: and will be read later."""

    def __init__(self, message: str, number: int | None) -> None:
        super().__init__(message)
        self.passing = number in (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
