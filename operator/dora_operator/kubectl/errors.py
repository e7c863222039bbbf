"""Exit codes and errors. An error names the object, the cause and the fix."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the exit code of every command means. The numbers are API: scripts test them."""

    OK = 0
    """The command did what it was asked to do."""
    FAILED = 1
    """A check failed, or what was waited for has ended without success."""
    USAGE = 2
    """Unknown flags, missing arguments, or values that contradict each other."""
    NOT_FOUND = 3
    """The named object does not exist."""
    CLUSTER = 4
    """The API server cannot be reached, does not know the login, does not permit the request, or refused it."""
    TIMEOUT = 5
    """`--wait` ended before the resource was ready."""


class CommandError(Exception):
    """A command cannot go on."""

    def __init__(self, subject: str, cause: str, fix: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(f"{subject}: {cause}")
        self.subject = subject
        self.cause = cause
        self.fix = fix
        self.code = code


class UsageError(CommandError):
    """The arguments do not fit together."""

    def __init__(self, subject: str, cause: str, fix: str) -> None:
        super().__init__(subject, cause, fix, ExitCode.USAGE)


class NotFoundError(CommandError):
    """An object does not exist."""

    def __init__(self, subject: str, fix: str, cause: str = "not found") -> None:
        super().__init__(subject, cause, fix, ExitCode.NOT_FOUND)


class ClusterError(CommandError):
    """The API server did not answer as it should."""

    def __init__(self, subject: str, cause: str, fix: str, status: int | None = None) -> None:
        super().__init__(subject, cause, fix, ExitCode.CLUSTER)
        self.status = status
