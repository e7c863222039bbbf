"""The flags that every command takes before and after its name, as kubectl does; durations, and names of objects."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import click

from kubectl_dora import complete
from kubectl_dora.errors import UsageError

KEY = "kubectl_dora"
UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86_400}
MAX_DURATION = timedelta(days=3650)
OBJECT_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
ROLLOUT, DORA = "rollout", "dora"
TYPES = {
    **dict.fromkeys(("rollout", "rollouts", "ro", "rollout.argoproj.io", "rollouts.argoproj.io"), ROLLOUT),
    **dict.fromkeys(("dora", "doradeployment", "doradeployments"), DORA),
    **dict.fromkeys(("doradeployment.dora-operator.io", "doradeployments.dora-operator.io"), DORA),
}


@dataclass(frozen=True, slots=True)
class Options:
    """Values of the flags that commands share."""

    namespace: str | None = None
    all_namespaces: bool = False
    context: str | None = None
    cluster: str | None = None
    user: str | None = None
    as_user: str | None = None
    kubeconfig: Path | None = None
    request_timeout: timedelta | None = None
    output: str | None = None

    @classmethod
    def of(cls, context: click.Context) -> "Options":
        """Return what was given before and after the command."""
        options = cls(**context.meta.get(KEY, {}))
        if options.namespace is not None and options.all_namespaces:
            raise UsageError("--namespace and --all-namespaces", "they contradict each other", "give one of the two")
        return options

    @property
    def for_kubectl(self) -> list[str]:
        """The flags by which kubectl reaches the same cluster as the same user."""
        named = {
            "--context": self.context,
            "--cluster": self.cluster,
            "--user": self.user,
            "--as": self.as_user,
            "--kubeconfig": self.kubeconfig,
        }
        return [str(word) for flag, value in named.items() if value is not None for word in (flag, value)]


class Duration(click.ParamType[Any]):
    """A duration as Go writes it, or with days: 90s, 1h30m, 30d. `seconds`: a number alone counts them, 0 too."""

    name = "duration"

    def __init__(self, *, seconds: bool = False) -> None:
        self._seconds = seconds

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:  # noqa: ANN401
        if isinstance(value, timedelta):
            return value
        text = f"{value}s" if self._seconds and str(value).isdecimal() else str(value)
        number = r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ns|us|µs|ms|s|m|h|d)"
        if re.fullmatch(f"(?:{number})+", text):
            duration = timedelta(seconds=sum(float(count) * UNITS[unit] for count, unit in re.findall(number, text)))
            if duration <= MAX_DURATION and (duration or self._seconds):
                return duration
        return self.fail(f"{value!r} is no duration: write a number and a unit, such as 90s, 1h30m or 30d", param, ctx)


class Name(click.ParamType[Any]):
    """The name of an object or a namespace."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        if OBJECT_NAME.fullmatch(value):
            return str(value)
        return self.fail(f"{value!r} is no name: use lower-case letters, digits, - and .", param, ctx)


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value is not None and value is not False:
        context.meta.setdefault(KEY, {})[parameter.name] = value


def shared(*names: str, **settings: Any) -> click.Option:  # noqa: ANN401 - handed through
    """Return a flag whose value becomes one of Options."""
    return click.Option(names, expose_value=False, callback=_keep, **settings)


GLOBAL = (
    shared(
        "-n", "--namespace", type=Name(), metavar="NAME", shell_complete=complete.namespaces,
        help="Namespace. Default: that of the context.",
    ),
    shared("--context", metavar="NAME", shell_complete=complete.contexts, help="Context of the kubeconfig."),
    shared("--cluster", metavar="NAME", help="Cluster of the kubeconfig."),
    shared("--user", metavar="NAME", help="User of the kubeconfig."),
    shared("--as", "as_user", metavar="USER", help="User to impersonate."),
    shared("--kubeconfig", type=click.Path(path_type=Path), metavar="FILE", help="Path of the kubeconfig."),
    shared("--request-timeout", type=Duration(seconds=True), metavar="DURATION",
           help="Of one request; 0: none. Default: 15s."),
)  # fmt: skip
"""Defined once, for the program and for each command."""
ALL_NAMESPACES = shared("-A", "--all-namespaces", is_flag=True, help="Every namespace.")


def output_flag(*formats: str) -> click.Option:
    """Return -o with the formats that a command knows."""
    return shared("-o", "--output", type=click.Choice(formats), help="Format of the output.")


class Target(NamedTuple):
    """An object that is named on the command line."""

    type: str
    """ROLLOUT or DORA."""
    name: str


def target_of(words: Sequence[str], *, default: str | None = None) -> Target | None:
    """Read `TYPE/NAME`, `TYPE NAME` or, where there is a default type, `NAME`.

    Raises:
        UsageError: the words name no object.
    """
    if not words:
        return None
    written = " ".join(words)
    kind, slash, name = written.replace(" ", "/", 1).partition("/")
    if not slash:
        kind, name = default or "", kind
    if not kind:
        raise UsageError(written, "the type is missing", f"write rollout/{written}")
    if kind not in TYPES:
        raise UsageError(written, f"{kind} is no type that this command knows", "write rollout/NAME or dora/NAME")
    if not OBJECT_NAME.fullmatch(name):
        raise UsageError(written, f"{name!r} is no name of an object", f"write {TYPES[kind]}/NAME")
    return Target(TYPES[kind], name)


def rollout_of(words: Sequence[str]) -> str | None:
    """Return the name of a Rollout; of a command that knows no other type."""
    target = target_of(words)
    if target is not None and target.type != ROLLOUT:
        raise UsageError(" ".join(words), "this command takes a Rollout", "write rollout/NAME")
    return target.name if target is not None else None
