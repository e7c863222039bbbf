"""Shell completion, made by click from the definitions of the commands.

`kubectl dora completion SHELL` prints a script for the program kubectl-dora. kubectl itself calls the program
`kubectl_complete-dora` with the words after `kubectl dora`: one candidate per line, then a directive (Kubernetes,
"Extend kubectl with plugins"). A completion that cannot be found is none, and never an error.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem, ShellComplete

if TYPE_CHECKING:
    from kubectl_dora.cluster import Cluster
    from kubectl_dora.options import Options

NO_FILES, FILES = ":4", ":0"
"""Cobra's directives: whether the shell may complete names of files."""
SECONDS = 5.0

Candidates = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def _asking(ask: Callable[["Cluster", click.Context], Awaitable[list[str]]]) -> Candidates:
    """Return a completion by what the cluster has."""

    async def answer(context: click.Context) -> list[str]:
        from kubectl_dora.cluster import open_cluster  # noqa: PLC0415 - only where a cluster is asked

        async with asyncio.timeout(SECONDS), open_cluster(_options(context)) as cluster:
            return await ask(cluster, context)

    return _never_failing(lambda context: asyncio.run(answer(context)))


def _never_failing(ask: Callable[[click.Context], list[str]]) -> Candidates:
    def complete(context: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
        try:
            return [CompletionItem(value) for value in ask(context) if value.startswith(incomplete)]
        except Exception:  # noqa: BLE001 - an error in the middle of a command line helps nobody
            return []

    return complete


def _options(context: click.Context) -> "Options":
    from kubectl_dora.options import Options  # noqa: PLC0415 - which imports this module

    return Options.of(context)


async def _namespaces(cluster: "Cluster", _: click.Context) -> list[str]:
    return [body["metadata"]["name"] for body in await cluster.list("/api/v1/namespaces", "Namespaces")]


async def _rollouts(cluster: "Cluster", _: click.Context) -> list[str]:
    from kubectl_dora import gather  # noqa: PLC0415 - only where a cluster is asked

    bodies = await gather.list_rollouts(cluster, cluster.namespace)
    return [f"rollout/{body['metadata']['name']}" for body in bodies]


async def _objects(cluster: "Cluster", context: click.Context) -> list[str]:
    from dora_operator.clients.kubernetes import DEPLOYMENTS  # noqa: PLC0415

    bodies = await cluster.list(DEPLOYMENTS.path(cluster.namespace), "DoraDeployments")
    return [*await _rollouts(cluster, context), *(body["metadata"]["name"] for body in bodies)]


async def _revisions(cluster: "Cluster", context: click.Context) -> list[str]:
    from kubectl_dora import gather, options  # noqa: PLC0415

    name = options.rollout_of(context.params.get("words") or context.args)
    _, replica_sets = await gather.read_revisions(cluster, name or "")
    numbers = {number for replica_set in replica_sets for number in replica_set.numbers}
    return [str(number) for number in sorted(numbers, reverse=True)]


def _contexts(context: click.Context) -> list[str]:
    from kubectl_dora import cluster  # noqa: PLC0415

    return cluster.contexts(_options(context))


contexts = _never_failing(_contexts)
namespaces, rollouts, objects, revisions = map(_asking, (_namespaces, _rollouts, _objects, _revisions))


def candidates(words: Sequence[str]) -> list[str]:
    """Return the lines for kubectl; the last word is being typed."""
    from kubectl_dora.main import app  # noqa: PLC0415 - which imports this module

    *before, incomplete = words or ("",)
    found = ShellComplete(app, {}, "kubectl dora", "").get_completions(before, incomplete)
    values = [str(item.value) for item in found if item.type == "plain"]
    return [*values, NO_FILES if len(values) == len(found) else FILES]


def main() -> None:
    """Print the candidates for the words on the command line."""
    try:
        lines = candidates(sys.argv[1:])
    except Exception:  # noqa: BLE001 - as above
        lines = [NO_FILES]
    sys.stdout.write("".join(f"{line}\n" for line in lines))


if __name__ == "__main__":
    main()
