"""Whether `kubectl dora explain` says what the operator has recorded, for every Rollout of a namespace."""

import asyncio
from datetime import UTC, datetime

from dora_operator.kubectl.cluster import open_cluster
from dora_operator.kubectl.explain import explain_rollout
from dora_operator.kubectl.facts import recorded
from dora_operator.kubectl.gather import read_all
from dora_operator.kubectl.options import Options
from sandbox.cluster import LocalCluster
from tests.support.shop import eventually


def assert_explained(cluster: LocalCluster, namespace: str) -> None:
    """Wait until each record of a Rollout that still shows its revision is what the explanation says."""
    eventually(
        lambda: asyncio.run(_differences(cluster, namespace)) == [],
        lambda: f"explain differs from the records: {asyncio.run(_differences(cluster, namespace))}",
    )


async def _differences(cluster: LocalCluster, namespace: str) -> list[str]:
    async with open_cluster(Options(namespace=namespace, kubeconfig=cluster.kubeconfig)) as opened:
        found = await read_all(opened, namespace)
    differences = []
    for facts in found.rollouts:
        explained = explain_rollout(facts, datetime.now(UTC))  # noqa: TID251 - of a real cluster
        verdicts = {each.revision: each.verdict for each in explained.revisions}
        for record in recorded(facts):
            is_of_it = record.uid == facts.rollout["metadata"]["uid"] and record.revision in verdicts
            if is_of_it and verdicts[record.revision] != record:
                differences.append(f"recorded {record}, explained {verdicts[record.revision]}")
    return differences
