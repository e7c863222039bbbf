"""Shell completion: the program `kubectl_complete-dora`, which kubectl calls with the words after `kubectl dora`.

Prints one candidate per line and, last, a directive, as kubectl expects of plugins. Never prints an error: a completion
that cannot be found is none. Source: Kubernetes, "Extend kubectl with plugins".
"""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from dora_operator.kubectl.options import Options

if TYPE_CHECKING:
    from dora_operator.kubectl.cluster import Cluster

NO_FILES = ":4"
"""Cobra's directive: do not complete names of files."""
FILES = ":0"
SECONDS = 5.0
FORMATS = ("wide", "json", "yaml", "csv")


class Kind(StrEnum):
    """What has to be asked of the cluster, or read from the kubeconfig."""

    NAMESPACES = "namespaces"
    CONTEXTS = "contexts"
    ROLLOUTS = "rollouts"
    OBJECTS = "objects"
    """Rollouts with their type, and DoraDeployments."""
    REVISIONS = "revisions"


ARGUMENTS: dict[str, Kind | None] = {
    "explain": Kind.OBJECTS,
    "mark": Kind.ROLLOUTS,
    "clear": Kind.ROLLOUTS,
    "backfill": Kind.ROLLOUTS,
    "doctor": None,
    "report": None,
    "version": None,
}
"""What the first argument of each command is."""
_TARGET = ("--id", "--service", "--env", "--version", "--revision", "--name", "--dry-run", "--wait", "--timeout")
FLAGS: dict[str, tuple[str, ...]] = {
    "explain": ("--revision",),
    "mark": (*_TARGET, "--failure", "--no-failure", "--rolled-back-to", "--rolled-forward-to"),
    "clear": _TARGET,
    "backfill": ("--since", "--apply", "--all-namespaces"),
    "doctor": ("--local",),
    "report": ("--since", "--all-namespaces"),
    "version": ("--client",),
}
GLOBAL_FLAGS = ("--namespace", "--context", "--kubeconfig", "--output", "--help")
SWITCHES = frozenset(
    ("--failure", "--no-failure", "--wait", "--apply", "--all-namespaces", "--local", "--client", "--help")
)
"""Flags without a value."""
LONG = {"-n": "--namespace", "-o": "--output", "-A": "--all-namespaces"}


@dataclass(frozen=True, slots=True)
class Line:
    """The words typed so far."""

    command: str | None
    arguments: tuple[str, ...]
    flags: dict[str, str]
    pending: str | None
    """The flag whose value is being typed."""
    word: str
    """What is being typed; may be empty."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Candidates that are known at once, or what has to be asked for them."""

    candidates: tuple[str, ...] = ()
    kind: Kind | None = None
    prefix: str = ""
    """Typed before the value: `--namespace=`."""
    directive: str = NO_FILES


def read_line(words: Sequence[str]) -> Line:
    """Read the words after `kubectl dora`; the last is being typed."""
    *before, word = words or ("",)
    command: str | None = None
    arguments: list[str] = []
    flags: dict[str, str] = {}
    pending: str | None = None
    for each in before:
        if pending is not None:
            flags[pending], pending = each, None
        elif each.startswith("-"):
            name, equals, value = each.partition("=")
            name = LONG.get(name, name)
            if equals or name in SWITCHES:
                flags[name] = value
            else:
                pending = name
        elif command is None:
            command = each
        else:
            arguments.append(each)
    return Line(command, tuple(arguments), flags, pending, word)


def answer(line: Line) -> Answer:
    """Return what completes the line."""
    if line.pending is not None:
        return _value_of(line.pending, "")
    if line.word.startswith("-"):
        name, equals, _ = line.word.partition("=")
        if equals:
            return _value_of(LONG.get(name, name), f"{name}=")
        return Answer((*FLAGS.get(line.command or "", ()), *GLOBAL_FLAGS))
    if line.command is None:
        return Answer(tuple(ARGUMENTS))
    return Answer(kind=ARGUMENTS.get(line.command) if not line.arguments else None)


VALUES: dict[str, tuple[str, ...]] = {
    "--output": FORMATS,
    "--dry-run": ("none", "client", "server"),
    "--since": ("1d", "7d", "30d"),
}
ASKED: dict[str, Kind] = {
    "--namespace": Kind.NAMESPACES,
    "--context": Kind.CONTEXTS,
    "--revision": Kind.REVISIONS,
}


def _value_of(flag: str, prefix: str) -> Answer:
    if flag == "--kubeconfig":
        return Answer(directive=FILES)
    return Answer(VALUES.get(flag, ()), ASKED.get(flag), prefix)


async def _ask(kind: Kind, line: Line) -> list[str]:
    """Ask the cluster for candidates."""
    from dora_operator.kubectl.cluster import contexts, open_cluster  # noqa: PLC0415 - only where a cluster is asked
    from dora_operator.kubectl.gather import DEPLOYMENTS, collection, list_rollouts  # noqa: PLC0415

    kubeconfig = line.flags.get("--kubeconfig")
    options = Options(
        namespace=line.flags.get("--namespace"),
        context=line.flags.get("--context"),
        kubeconfig=Path(kubeconfig) if kubeconfig else None,
    )
    if kind is Kind.CONTEXTS:
        return contexts(options)
    async with asyncio.timeout(SECONDS), open_cluster(options) as cluster:
        if kind is Kind.NAMESPACES:
            return [each["metadata"]["name"] for each in await cluster.list("/api/v1/namespaces", "Namespaces")]
        if kind is Kind.REVISIONS:
            return await _revisions(cluster, line)
        found = [f"rollout/{each['metadata']['name']}" for each in await list_rollouts(cluster, cluster.namespace)]
        if kind is Kind.OBJECTS:
            path = collection(DEPLOYMENTS, cluster.namespace, "doradeployments")
            found += [each["metadata"]["name"] for each in await cluster.list(path, "DoraDeployments")]
        return found


async def _revisions(cluster: "Cluster", line: Line) -> list[str]:
    from dora_operator.domain.rollout.observation import parse_replica_sets, parse_rollout  # noqa: PLC0415
    from dora_operator.kubectl.explain_view import rollout_name  # noqa: PLC0415
    from dora_operator.kubectl.gather import ROLLOUTS, collection, list_replica_sets  # noqa: PLC0415

    name = rollout_name(line.arguments[0]) if line.arguments else None
    if name is None:
        return []
    rollout = parse_rollout(await cluster.get(f"{collection(ROLLOUTS, cluster.namespace, 'rollouts')}/{name}", name))
    owned = parse_replica_sets(rollout.uid, await list_replica_sets(cluster, rollout))
    numbers = {number for each in owned for number in each.numbers}
    return [str(number) for number in sorted(numbers, reverse=True)]


def complete(words: Sequence[str]) -> list[str]:
    """Return the lines to print."""
    line = read_line(words)
    found = answer(line)
    candidates = list(found.candidates)
    if found.kind is not None:
        try:
            candidates = asyncio.run(_ask(found.kind, line))
        except Exception:  # noqa: BLE001 - an error message in the middle of a command line helps nobody
            candidates = []
    typed = line.word.removeprefix(found.prefix)
    return [*(f"{found.prefix}{each}" for each in candidates if each.startswith(typed)), found.directive]


def main() -> None:
    """Print the candidates for the words on the command line."""
    sys.stdout.write("".join(f"{line}\n" for line in complete(sys.argv[1:])))


if __name__ == "__main__":
    main()
