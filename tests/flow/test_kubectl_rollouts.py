"""The commands of `kubectl dora` about a Rollout that a recorded trace left, against an API server with set answers."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import small_cluster
from tests.support.small_cluster import DEPLOYMENTS, NAMESPACE, Answer, SmallCluster, Terminal, listed, refused
from tests.unit.kubectl.test_backfill import levels_of

LEVELS = levels_of("canary-manual-abort")
NAME, PLACE = LEVELS.rollout["metadata"]["name"], LEVELS.rollout["metadata"]["namespace"]
ROLLOUTS = f"/apis/argoproj.io/v1alpha1/namespaces/{PLACE}/rollouts"
DORA = f"/apis/dora-operator.io/v1alpha1/namespaces/{PLACE}/doradeployments"
REPLICA_SETS = f"/apis/apps/v1/namespaces/{PLACE}/replicasets"
SINCE = ("--since", "3000d")


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SmallCluster]:
    """Return an API server with the Rollout of a trace: revision 2 was aborted."""
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with small_cluster.serving(tmp_path) as serving:
        monkeypatch.setenv("KUBECONFIG", str(serving.kubeconfig))
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE, "uid": "n"}}
        rollout = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", **LEVELS.rollout}
        serving.answers |= {
            NAMESPACE.replace("shop", PLACE): Answer(namespace),
            DEPLOYMENTS: listed(),
            ROLLOUTS: listed(LEVELS.rollout),
            f"{ROLLOUTS}/{NAME}": Answer(rollout),
            REPLICA_SETS: listed(*LEVELS.replica_sets.values()),
            DORA: listed(),
        }
        yield serving


@pytest.fixture
def dora(capsys: pytest.CaptureFixture[str]) -> Terminal:
    """Return what runs a command."""
    return Terminal(capsys)


def stored(manifest: dict[str, Any]) -> dict[str, Any]:
    """Return a record as the API server has stored it."""
    metadata = {"uid": "r", "resourceVersion": "1", "generation": 1, "creationTimestamp": "2026-11-23T03:00:00Z"}
    return manifest | {"metadata": manifest["metadata"] | metadata}


def test_what_was_missed_is_found_applied_and_explained(cluster: SmallCluster, dora: Terminal) -> None:
    """The record of backfill is the operator's own; afterwards explain shows it, and report counts it."""
    where = ("-n", PLACE)
    assert "1 new. Nothing was written." in dora("backfill", *SINCE, *where).out
    cluster.otherwise = Answer({"apiVersion": "a", "kind": "b", "metadata": {"name": "c", "uid": "d"}})
    assert "1 DoraDeployments were created, 0 could not be." in dora("backfill", *SINCE, *where, "--apply").out
    method, path, headers, manifest = cluster.requests[-1]
    assert (method, headers["Content-Type"]) == ("PATCH", "application/apply-patch+yaml")
    assert path == f"{DORA}/{manifest['metadata']['name']}?fieldManager=dora-operator-rollouts&fieldValidation=Strict"
    cluster.answers[DORA] = listed(stored(manifest))
    out = dora("explain", "rollout", NAME, "--revision", "2", *where).out
    assert "Decision      Aborted: change failure" in out
    assert f"DoraDeployment {PLACE}/{manifest['metadata']['name']} (made by the operator)" in out
    assert "PATCH /api/v2/dora/deployments" in out
    (line,) = csv.DictReader(io.StringIO(dora("report", *SINCE, *where, "-o", "csv").out))
    assert (line["deployments"], line["failures"], line["pending"]) == ("2", "1", "1")


def test_a_record_that_cannot_be_written_is_counted(cluster: SmallCluster, dora: Terminal) -> None:
    """With the cause, and exit code 1."""
    cluster.otherwise = refused(409, "Apply failed with 1 conflict")
    ran = dora("backfill", *SINCE, "-n", PLACE, "--apply")
    assert ran.code == 1
    assert "is not written: was changed by a user" in ran.err
    assert "0 DoraDeployments were created, 1 could not be." in ran.out


def test_a_revision_is_marked_by_its_tags(cluster: SmallCluster, dora: Terminal) -> None:
    """The newest one by default; one that is gone is not found."""
    created = {
        "apiVersion": "dora-operator.io/v1alpha1",
        "kind": "DoraDeployment",
        "metadata": {"name": "x", "uid": "x"},
    }
    cluster.answers[f"POST {DORA}"] = Answer(created, 201)
    assert dora("mark", "rollout", NAME, "-n", PLACE).code == 0
    newest = cluster.requests[-1][3]["spec"]["deployment"]
    assert dora("clear", f"rollout/{NAME}", "--revision", "1", "-n", PLACE).code == 0
    first = cluster.requests[-1][3]["spec"]
    assert (first["deployment"]["service"], first["changeFailure"]) == (newest["service"], False)
    assert first["deployment"]["version"] != newest["version"]
    gone = dora("mark", f"rollout/{NAME}", "--revision", "9", "-n", PLACE)
    assert gone.code == 3
    assert "give --revision with one of 1, 2" in gone.err


def test_a_write_that_is_refused_is_said(cluster: SmallCluster, dora: Terminal) -> None:
    """A write that the API server refuses has its words."""
    cluster.answers[f"POST {DORA}"] = refused(422, "spec.deployment: Invalid value")
    ran = dora("mark", f"rollout/{NAME}", "-n", PLACE)
    assert (ran.code, ran.out) == (4, "")
    assert "spec.deployment: Invalid value" in ran.err
    assert "fix: correct what the message names" in ran.err
