"""The flags that every command has, named as kubectl's, and how a function becomes a command."""

import gc
import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from dora_operator.kubectl.errors import CommandError, ExitCode, UsageError

COLLECT_AFTER = 100_000
"""New objects until Python searches for garbage. Its default, 700, takes half the time of a command that reads ten
thousand resources, where hardly anything is garbage."""
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
LONGEST = timedelta(days=3650)


class Format(StrEnum):
    """Values of -o."""

    WIDE = "wide"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"


class DryRun(StrEnum):
    """Values of --dry-run, as kubectl's."""

    NONE = "none"
    CLIENT = "client"
    SERVER = "server"


@dataclass(frozen=True, slots=True)
class Options:
    """Values of the global flags."""

    namespace: str | None = None
    all_namespaces: bool = False
    context: str | None = None
    kubeconfig: Path | None = None
    output: Format | None = None


_FLAGS: dict[str, tuple[Any, Any]] = {
    "namespace": (
        Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace. Default: that of the context.")],
        None,
    ),
    "all_namespaces": (
        Annotated[bool, typer.Option("--all-namespaces", "-A", help="Every namespace.")],
        False,
    ),
    "context": (Annotated[str | None, typer.Option(help="Context of the kubeconfig.")], None),
    "kubeconfig": (Annotated[Path | None, typer.Option(help="Path of the kubeconfig.")], None),
    "output": (Annotated[Format | None, typer.Option("--output", "-o", help="Format of the output.")], None),
}


COMMANDS: list[tuple[str, Callable[..., None]]] = []
"""Every command, in the order of the help."""


def command(
    name: str, *formats: Format, without: tuple[str, ...] = (), among: list[tuple[str, Callable[..., None]]] = COMMANDS
) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
    """Make a function a command: its first parameter takes the global flags, and its result is the exit code.

    `formats` are the values of -o that it knows; `without` are global flags that make no sense for it; `among` is the
    list to which it is added.
    """

    def add(function: Callable[..., int | None]) -> Callable[..., int | None]:
        shared = {flag: kind for flag, kind in _FLAGS.items() if flag not in without}

        def run(**values: Any) -> None:  # noqa: ANN401 - Typer passes what the signature below names
            gc.set_threshold(COLLECT_AFTER)
            options = Options(**{flag: values.pop(flag) for flag in shared})
            raise typer.Exit(_exit_code(lambda: function(_checked(options, formats), **values)))

        signature = inspect.signature(function)
        own = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in list(signature.parameters.values())[1:]]
        flags = [
            inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=default)
            for flag, (kind, default) in shared.items()
        ]
        run.__signature__ = signature.replace(parameters=[*own, *flags], return_annotation=None)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in (*own, *flags)}
        run.__doc__ = function.__doc__
        among.append((name, run))
        return function

    return add


def parse_duration(flag: str, text: str) -> timedelta:
    """Read a duration of one unit.

    Raises:
        UsageError: it is none, or longer than ten years.
    """
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip())
    duration = timedelta(seconds=int(found[1]) * UNITS[found[2]]) if found else None
    if duration is None or duration > LONGEST or not duration:
        raise UsageError(f"{flag} {text}", "it is no duration", "write a number and a unit: 90m, 12h or 30d")
    return duration


def _checked(options: Options, formats: tuple[Format, ...]) -> Options:
    if options.output is not None and options.output not in formats:
        known = ", ".join(formats) or "none"
        raise UsageError(f"-o {options.output}", "this command does not have that format", f"use one of: {known}")
    if options.namespace is not None and options.all_namespaces:
        raise UsageError("--namespace and --all-namespaces", "they contradict each other", "give one of the two")
    return options


def _exit_code(work: Callable[[], int | None]) -> int:
    from dora_operator.kubectl.output import show_error  # noqa: PLC0415 - Rich is imported only to print

    try:
        return work() or ExitCode.OK
    except CommandError as error:
        show_error(error)
        return error.code
    except BrokenPipeError:  # `| head` has seen enough
        return ExitCode.OK
    except KeyboardInterrupt:
        return 130
