"""Whether `kubectl dora explain` says what the operator has recorded, for every Rollout of a namespace."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from dora_operator.domain.history.verdicts import Verdict
from kubectl_dora.cluster import open_cluster
from kubectl_dora.explain import explain_rollout
from kubectl_dora.gather import read_all
from kubectl_dora.options import Options
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
    records = [deployment.status.source for deployment in found.store]
    for facts in found.rollouts:
        explained = explain_rollout(facts, datetime.now(UTC))  # noqa: TID251 - of a real cluster
        verdicts = {revision.revision.number: revision.verdict for revision in explained.revisions}
        for record in records:
            if record is None or record.uid != facts.rollout["metadata"]["uid"] or record.revision not in verdicts:
                continue
            if _without_link(verdicts[record.revision]) != _without_link(record):
                differences.append(f"recorded {record}, explained {verdicts[record.revision]}")
    return differences


def _without_link(verdict: Verdict | None) -> Verdict | None:
    """Explanations follow the default settings, where an abort has no remediation."""
    none: dict[str, Any] = dict.fromkeys(("remediation", "remediation_started_time", "remediation_ended_time"))
    return verdict and replace(verdict, **none)
