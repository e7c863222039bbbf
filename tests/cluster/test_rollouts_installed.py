"""Argo Rollouts that comes, goes and comes again, on a real API server without controllers."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from sandbox.cluster import LocalCluster
from sandbox.cluster.rollouts import install_crds, remove_crds
from sandbox.datadog import StandIn
from sandbox.running import running_operator
from tests.support.levels import rfc3339
from tests.support.rollouts import App, expect, marked

pytestmark = pytest.mark.cluster

CRDS = Path(__file__).parents[2] / "crds"


def abort_by_hand(app: App) -> None:
    """Make the objects that the controller leaves after an abort of revision 2."""
    app.apply(app.manifest("1.1.0"))
    body = app.get()
    owner = {key: body[key] for key in ("apiVersion", "kind")} | {
        "name": app.name,
        "uid": body["metadata"]["uid"],
        "controller": True,
    }
    app.apply(*(replica_set(app, owner, number, version) for number, version in ((1, "1.0.0"), (2, "1.1.0"))))
    app.kubectl("annotate", "rollout", app.name, "rollout.argoproj.io/revision=2", "--overwrite")
    status = {
        "observedGeneration": str(app.get()["metadata"]["generation"]),
        "currentPodHash": "hash2",
        "stableRS": "hash1",
        "abort": True,
        "abortedAt": rfc3339(datetime.now(UTC)),  # noqa: TID251 - within the lookback of a real operator
        "phase": "Degraded",
        "message": "RolloutAborted: Rollout aborted update to revision 2",
    }
    app.kubectl(
        "patch", "rollout", app.name, "--subresource=status", "--type=merge", "-p", json.dumps({"status": status})
    )


def replica_set(app: App, owner: dict[str, Any], number: int, version: str) -> dict[str, Any]:
    """Return the ReplicaSet of a revision."""
    template = app.template(version)
    labels = {"app": app.name, "rollouts-pod-template-hash": f"hash{number}"}
    template["metadata"]["labels"] |= labels
    metadata = {
        "name": f"{app.name}-hash{number}",
        "labels": template["metadata"]["labels"],
        "annotations": {"rollout.argoproj.io/revision": str(number)},
        "ownerReferences": [owner],
    }
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": spec}


def test_installed_removed_and_installed_again() -> None:
    """The operator starts without it, reacts each time it is there, and lives on when it is taken away."""
    with LocalCluster.start() as cluster, StandIn() as datadog:
        cluster.kubectl("apply", "-f", str(CRDS))
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        with running_operator(cluster, datadog.url) as operator:
            for name in ("first", "second"):
                install_crds(cluster)
                app = App(cluster, datadog, "default", name)
                abort_by_hand(app)
                expect((app, [marked("1.1.0")]))
                remove_crds(cluster)
                assert operator.probe()
            assert operator.process.popen.poll() is None, operator.log()
