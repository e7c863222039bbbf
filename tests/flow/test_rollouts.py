"""From real traces of Rollouts to requests at Datadog, through the whole operator but kopf and the watch."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx
import pytest

from dora_operator.clients.errors import ForbiddenError, KubernetesError, NotFoundError
from dora_operator.domain.fields import ObjectKey
from tests.support.fakes import FakeCluster, FakeDatadog, Operator, running_operator
from tests.support.levels import Rollout, play
from tests.unit.history.test_traces import EXPECTED, Lines, trace

EVERY_TRACE = pytest.mark.parametrize("name", sorted(EXPECTED))
ABORTED = {"change_failure": True, "env": "prod", "service": "checkout", "version": "1.1.0"}


def asked(datadog: FakeDatadog) -> list[tuple[str, bool, str]]:
    """Return the requests in the words of the traces' tests."""
    found = []
    for request in datadog.requests:
        attributes = json.loads(request.content)["data"]["attributes"]
        link = attributes.get("remediation")
        words = f"{link['type']} {link.get('id') or link.get('version')}" if link else ""
        found.append((attributes["version"], attributes["change_failure"], words))
    return found


async def live(operator: Operator, lines: Iterable[dict[str, Any]]) -> None:
    """Let the operator see each line of a trace."""
    for line in lines:
        take_in(operator, line)
        await operator.settle()


def take_in(operator: Operator, line: dict[str, Any]) -> None:
    """Change the cluster as one line says."""
    body, cluster = line["object"], operator.cluster
    uid = body["metadata"]["uid"]
    match body["kind"]:
        case "ReplicaSet":
            cluster.replica_sets = [each for each in cluster.replica_sets if each["metadata"]["uid"] != uid]
            cluster.replica_sets += [] if line["type"] == "DELETED" else [body]
        case "Rollout" if line["type"] == "DELETED":
            operator.rollout_event("DELETED", body)
        case "Rollout":
            operator.rollout_event("MODIFIED", body)


def take_in_list(operator: Operator, *bodies: dict[str, Any]) -> None:
    """Let the operator list Rollouts."""
    operator.rollouts_listed(*bodies)


def last_rollout(lines: Lines) -> dict[str, Any]:
    """Return the newest Rollout of some lines."""
    found = [line["object"] for line in lines if line["object"]["kind"] == "Rollout"]
    return dict(found[-1]) if found else {}


@EVERY_TRACE
async def test_a_trace_ends_in_exactly_these_requests(name: str, cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Each real run becomes the requests that its name says, in order, by way of DoraDeployments."""
    async with running_operator(cluster, datadog, abort_recovery="NextVersion") as operator:
        await live(operator, trace(name))
        await operator.pass_time(60)
    assert asked(datadog) == EXPECTED[name]


@EVERY_TRACE
async def test_an_operator_killed_between_any_two_steps_ends_the_same(name: str) -> None:
    """Killed after every seventh line, in any phase of seven, each new operator finds the same."""
    lines = trace(name)
    for phase in range(7):
        cluster, datadog = FakeCluster(), FakeDatadog()
        position = 0
        while position < len(lines):
            end = position + 7 if position else 1 + phase
            async with running_operator(cluster, datadog, abort_recovery="NextVersion") as operator:
                known = last_rollout(lines[:position])
                take_in_list(operator, *([known] if known else []))
                await operator.settle()
                await live(operator, lines[position:end])
            position = end
        assert asked(datadog) == EXPECTED[name], f"phase {phase}"


async def test_a_release_without_failure_costs_one_list_per_revision(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """From deploy to promotion: one list of ReplicaSets for each revision, and two writes of the history."""
    async with running_operator(cluster, datadog) as operator:
        await live(operator, trace("canary-promoted"))
    assert dict(cluster.reads) == {"replicasets": 2, "namespaces": 1}
    assert cluster.history_writes == 4  # two for each of its two revisions
    assert (cluster.record_writes, cluster.status_writes, cluster.events) == (0, 0, [])


async def test_a_made_resource(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """It is named after Rollout and pod hash, labelled, has no owner, and says what the Rollout did."""
    async with running_operator(cluster, datadog) as operator:
        await live(operator, trace("canary-manual-abort"))
    ((key, body),) = cluster.objects.items()
    rollout = last_rollout(trace("canary-manual-abort"))["metadata"]["name"]
    assert key.name.startswith(f"{rollout}-")
    assert body["metadata"]["labels"] == {"dora-operator.io/rollout": rollout}
    assert "ownerReferences" not in body["metadata"]
    assert body["status"]["source"]["verdict"] == "Aborted"
    reasons = [(about.kind, note.reason) for about, note in cluster.events]
    assert reasons == [("DoraDeployment", "Marked"), ("Rollout", "Marked")]


async def test_an_unidentified_version_is_reported_once(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Nothing is sent, and one Warning Event on the Rollout names the label."""
    async with running_operator(cluster, datadog) as operator:
        await live(operator, trace("version-label-missing"))
    ((about, note),) = cluster.events
    assert (about.kind, note.type, note.reason) == ("Rollout", "Warning", "NotIdentified")
    assert "tags.datadoghq.com/version" in note.message


def followed(**spec: Any) -> Callable[[FakeCluster], None]:
    """Return what applies a user's DoraDeployment that follows the traces' Rollout."""
    rollout = last_rollout(trace("canary-manual-abort"))["metadata"]

    def apply(cluster: FakeCluster) -> None:
        reference = {"name": rollout["name"], "version": "1.1.0"}
        cluster.apply("mine", namespace=rollout["namespace"], sourceRef=reference, **spec)

    return apply


def mine(cluster: FakeCluster) -> dict[str, Any]:
    """Return the user's DoraDeployment."""
    return next(body for key, body in cluster.objects.items() if key.name == "mine")


def conditions(body: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Return status and reason of each condition."""
    return {one["type"]: (one["status"], one["reason"]) for one in body["status"]["conditions"]}


@pytest.mark.parametrize("applied_at", [pytest.param(0, id="before the abort"), pytest.param(-1, id="after the abort")])
async def test_a_users_resource_follows(applied_at: int, cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The verdict arrives in the user's resource, whose spec stays as it is."""
    apply, lines = followed(), trace("canary-manual-abort")
    async with running_operator(cluster, datadog) as operator:
        if applied_at == 0:
            apply(cluster)
            await operator.settle()
            assert conditions(mine(cluster))["Ready"] == ("False", "WaitingForRollout")
        await live(operator, lines)
        if applied_at != 0:
            apply(cluster)
            await operator.settle()
            await operator.pass_time(2)
    spec = mine(cluster)["spec"]
    assert "changeFailure" not in spec
    assert mine(cluster)["status"]["source"]["verdict"] == "Aborted"
    assert conditions(mine(cluster))["Ready"] == ("True", "Accepted")
    paths = [request.url.path for request in datadog.requests]
    assert paths.count("/api/v2/dora/deployments/43vkaZNgiso") == 1
    assert len(cluster.objects) == 1, "the operator's own record gives way"
    if applied_at == 0:
        assert cluster.record_writes == 0


async def test_spec_wins_over_the_rollout(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """What the user says is sent; that the Rollout says otherwise is shown."""
    async with running_operator(cluster, datadog) as operator:
        followed(changeFailure=False)(cluster)
        await live(operator, trace("canary-manual-abort"))
    assert [json.loads(request.content)["data"]["attributes"] for request in datadog.requests] == [
        {"change_failure": False}
    ]
    assert conditions(mine(cluster))["Overridden"] == ("True", "SpecWins")
    assert conditions(mine(cluster))["Ready"] == ("True", "Accepted")


@pytest.mark.parametrize("where", ["the Rollout", "the Namespace"])
async def test_opting_out(where: str, cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """An ignored Rollout is not reconciled."""
    ignore = {"dora-operator.io/ignore": "true"}
    if where == "the Namespace":
        cluster.annotations = ignore
    async with running_operator(cluster, datadog) as operator:
        for line in trace("canary-manual-abort"):
            if where == "the Rollout" and line["object"]["kind"] == "Rollout":
                metadata = line["object"]["metadata"]
                body = {**line["object"], "metadata": metadata | {"annotations": metadata["annotations"] | ignore}}
                line = {**line, "object": body}  # noqa: PLW2901 - the trace itself is shared
            take_in(operator, line)
            await operator.settle()
    assert datadog.requests == []
    assert cluster.objects == {}


async def test_a_record_that_a_user_took_over_stays_the_users(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A conflict of field managers is not forced, and nothing goes round in circles."""
    lines = trace("abort-retry-promoted")
    half = next(n for n, line in enumerate(lines) if line["object"].get("status", {}).get("abort")) + 4
    async with running_operator(cluster, datadog) as operator:
        await live(operator, lines[:half])
        (key,) = cluster.objects
        cluster.taken_over.add(key)
        written = cluster.record_writes
        await live(operator, lines[half:])
    assert cluster.record_writes == written
    assert asked(datadog) == EXPECTED["abort-retry-promoted"][:1]


async def test_a_users_resource_of_the_records_name_is_not_touched(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Where the name is taken by something else, that stays as it is."""
    async with running_operator(cluster, datadog) as operator:
        await live(operator, trace("canary-manual-abort"))
    ((key, _),) = cluster.objects.items()
    other = FakeCluster()
    other.apply(key.name, namespace=key.namespace, deployment={"id": "X9RMqDwK-4c"}, changeFailure=False)
    before = dict(other.objects[key]["spec"])
    async with running_operator(other, FakeDatadog()) as operator:
        await live(operator, trace("canary-manual-abort"))
    assert other.objects[key]["spec"] == before
    assert other.record_writes == 0


async def test_a_deleted_rollout_takes_no_report_along(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """Datadog is down, the Rollout is deleted, Datadog comes back: the mark arrives."""
    datadog.answers = [httpx.Response(503), httpx.Response(503), httpx.Response(202)]
    lines = trace("canary-manual-abort")
    async with running_operator(cluster, datadog) as operator:
        await live(operator, lines)
        operator.rollout_event("DELETED", last_rollout(lines))
        cluster.replica_sets.clear()
        await operator.pass_time(600)
        await operator.pass_time(600)
    assert asked(datadog)[-1] == ("1.1.0", True, "")
    ((_, body),) = cluster.objects.items()
    assert conditions(body)["Ready"] == ("True", "Accepted")


async def test_what_a_list_does_not_name_is_neither_marked_nor_posted(
    cluster: FakeCluster, datadog: FakeDatadog
) -> None:
    """The record of the abort says NotAllowed; with onMissing: Create no event leaves either."""
    cluster.annotations = {"dora-operator.io/allowed-services": "cart"}
    async with running_operator(cluster, datadog, on_missing="Create", read_back=True) as operator:
        await live(operator, trace("canary-manual-abort"))
        await operator.pass_time(1200)
    ((_, body),) = cluster.objects.items()
    assert conditions(body)["Ready"] == ("False", "NotAllowed")
    assert datadog.requests == []


async def test_settled_records_go_after_their_time(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A record is kept for 90 days, and nothing comes back when it is gone."""
    async with running_operator(cluster, datadog) as operator:
        await live(operator, trace("canary-manual-abort"))
        await operator.pass_time(89 * 86_400)
        assert await operator.app.records.sweep() == 0
        await operator.pass_time(2 * 86_400)
        assert await operator.app.records.sweep() == 1
        assert cluster.objects == {}
        take_in_list(operator, last_rollout(trace("canary-manual-abort")))
        await operator.settle()
    assert cluster.objects == {}
    assert len(datadog.requests) == 1


async def test_a_record_that_cannot_be_deleted_stops_no_other(
    cluster: FakeCluster, datadog: FakeDatadog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator may not delete in one namespace; the records of the others go after their time."""
    delete = cluster.delete_record

    async def refuse(key: ObjectKey, uid: str) -> None:
        if key.name == "checkout-h2":
            raise ForbiddenError("forbidden", 403)
        await delete(key, uid)

    monkeypatch.setattr(cluster, "delete_record", refuse)
    async with running_operator(cluster, datadog) as operator:
        for name in ("checkout", "pay", "cart"):
            rollout = Rollout(name=name, uid=f"uid-{name}")
            await play(operator, rollout, "deploy h1 1", "promote", "deploy h2 2", "abort")
            operator.rollout_event("DELETED", rollout.body())
        assert len(cluster.objects) == 3
        await operator.pass_time(90 * 86_400 + 60)
        assert await operator.app.records.sweep() == 2
    assert [key.name for key in cluster.objects] == ["checkout-h2"]


async def test_a_late_deletion_does_not_drop_the_successor(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """A Rollout of the same name and another uid is another Rollout."""
    old = last_rollout(trace("canary-manual-abort"))
    new = {**old, "metadata": {**old["metadata"], "uid": "another"}}
    async with running_operator(cluster, datadog) as operator:
        operator.rollout_event("MODIFIED", new)
        operator.rollout_event("DELETED", old)
        assert len(operator.app.workloads.store) == 1
        operator.rollout_event("DELETED", new)
        assert len(operator.app.workloads.store) == 0


async def test_rollouts_that_vanish_with_their_crd_are_forgotten(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """An empty list drops what was known; the same Rollouts listed again are new."""
    lines = trace("canary-manual-abort")
    async with running_operator(cluster, datadog) as operator:
        await live(operator, lines)
        for key, (uid, _) in operator.app.workloads.versions(None).items():
            operator.app.workloads.deleted(key, uid)
        assert len(operator.app.workloads.store) == 0
        take_in_list(operator, last_rollout(lines))
        await operator.settle()
    assert asked(datadog) == EXPECTED["canary-manual-abort"]
    assert ObjectKey(*next(iter(cluster.objects))) in cluster.objects


async def test_an_abort_is_linked_to_nothing_by_default(cluster: FakeCluster, datadog: FakeDatadog) -> None:
    """The service was restored at the abort: the next version says nothing about the recovery time."""
    async with running_operator(cluster, datadog) as operator:
        await live(operator, trace("abort-then-roll-forward"))
        await operator.pass_time(60)
    assert asked(datadog) == [("1.1.0", True, "")]


@pytest.mark.parametrize(
    "refused",
    [NotFoundError("no such kind", 404), ForbiddenError("no permission", 403), KubernetesError("older schema", 422)],
    ids=["the CRD is missing", "the permission is missing", "the CRD is older"],
)
async def test_an_abort_is_marked_without_a_history(
    cluster: FakeCluster, datadog: FakeDatadog, refused: KubernetesError, caplog: pytest.LogCaptureFixture
) -> None:
    """A history that Kubernetes refuses stops no report. One message says so; the history is written when it can be."""
    cluster.history_error = refused
    rollout = Rollout()
    async with running_operator(cluster, datadog) as operator:
        await play(operator, rollout, "deploy h1 1", "promote", "deploy h2 2", "abort")
        assert asked(datadog) == [("2", True, "")]
        assert caplog.text.count("DoraHistories are not kept") == 1
        assert cluster.histories == {}
        cluster.history_error = None
        await play(operator, rollout, "retry")
    (history,) = cluster.histories.values()
    assert [revision["version"] for revision in history["revisions"]] == ["1", "2"]


async def test_a_record_that_is_reported_before_it_is_answered_waits_for_its_verdict(
    cluster: FakeCluster, datadog: FakeDatadog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By version, Datadog would mark one deployment of several: which one has to be read, as the verdict says."""
    apply_record, rollout = cluster.apply_record, Rollout()
    async with running_operator(cluster, datadog) as operator:

        async def reported_first(manifest: Mapping[str, Any]) -> dict[str, Any]:
            body = await apply_record(manifest)
            await asyncio.sleep(0)  # the watch brings it
            await operator.reconcile(ObjectKey(manifest["metadata"]["namespace"], manifest["metadata"]["name"]))
            return body

        await play(operator, rollout, "deploy h1 1", "promote", "deploy h2 2", "promote", "deploy h1", "promote")
        sent = list(datadog.requests)
        monkeypatch.setattr(cluster, "apply_record", reported_first)
        await play(operator, rollout, "deploy h2", "abort")
    assert len(cluster.objects) == 2
    assert datadog.requests == sent
