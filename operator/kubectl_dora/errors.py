"""Exit codes and errors. An error names the object, the cause and the fix."""

from enum import IntEnum


class ExitCode(IntEnum):
    """What the exit code of every command means. The numbers are API: scripts test them."""

    OK = 0
    """The command did what it was asked to do."""
    FAILED = 1
    """A check failed, what was waited for has ended without success, or the tool has a defect."""
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

    code = ExitCode.FAILED

    def __init__(self, subject: str, cause: str, fix: str, code: ExitCode | None = None) -> None:
        super().__init__(f"{subject}: {cause}")
        self.subject, self.cause, self.fix = subject, cause, fix
        self.code = code or self.code


class UsageError(CommandError):
    """The arguments do not fit together."""

    code = ExitCode.USAGE


class NotFoundError(CommandError):
    """An object does not exist."""

    code = ExitCode.NOT_FOUND


class ClusterError(CommandError):
    """The API server cannot be reached, or did not answer as Kubernetes does."""

    code = ExitCode.CLUSTER


class RefusedError(ClusterError):
    """The API server refused a request with this status; others may succeed."""

    def __init__(self, subject: str, cause: str, fix: str, status: int) -> None:
        super().__init__(subject, cause, fix)
        self.status = status
