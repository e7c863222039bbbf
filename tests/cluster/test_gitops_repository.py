"""`gitops/repository` at work: releases, an abort and marks by commits, with the real Argo Rollouts and an operator.

Argo CD's own application controller syncs it and evaluates the health, where `make gitops-test` has built it. kubectl
applies and prunes it everywhere, and Argo CD's Lua runs in an interpreter then.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.datadog.faults import Match, Respond
from sandbox.programs.build import is_built
from sandbox.programs.catalogue import ARGO_CD
from sandbox.running import OperatorProcess, running_operator
from tests.support.delivery import NAMESPACE, ArgoCd, Delivery, Kubectl, Repository, shown
from tests.support.gitops import GITOPS
from tests.support.pages import to_send
from tests.support.rollouts import PATIENCE_SECONDS, App, marked
from tests.support.scheduling import Scheduler
from tests.support.shop import eventually

CRDS = Path(__file__).parents[2] / "crds"
NOT_BUILT = pytest.mark.skipif(not is_built(ARGO_CD), reason="Argo CD is not built: `make gitops-test` builds it")
pytestmark = pytest.mark.cluster


@pytest.fixture
def datadog() -> Iterator[StandIn]:
    """Return a stand-in for Datadog that refuses one version."""
    with StandIn() as running:
        running.fault(Respond(status=400, body={"errors": ["no such service"]}), match=Match(body_contains="1.4.9"))
        yield running


@pytest.fixture
def cluster() -> Iterator[LocalCluster]:
    """Return a cluster of its own: the repository names its namespace, and Argo CD watches everything."""
    with LocalCluster.start(with_rollouts=True) as running, Scheduler(running):
        running.kubectl("apply", "-f", str(CRDS))
        running.kubectl("wait", "--for=condition=Established", "-f", str(CRDS), "--timeout=30s")
        running.kubectl("create", "namespace", NAMESPACE)
        yield running


@pytest.fixture
def operator(cluster: LocalCluster, datadog: StandIn) -> Iterator[OperatorProcess]:
    """Return a running operator."""
    with running_operator(cluster, datadog.url) as running:
        yield running


@pytest.fixture(params=[pytest.param(Kubectl, id="kubectl"), pytest.param(ArgoCd, id="Argo CD", marks=NOT_BUILT)])
def delivery(
    request: pytest.FixtureRequest,
    cluster: LocalCluster,
    operator: OperatorProcess,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Delivery:
    """Return what brings the repository into the cluster."""
    monkeypatch.setenv("KUBECTL_APPLYSET", "true")  # kubectl's pruning by ApplySets is off by default
    found: ArgoCd | Kubectl = request.param(cluster, Repository.create(tmp_path))
    found.set_up()
    return found


def test_from_a_release_to_its_mark_and_back(  # noqa: PLR0915 - one story, whose steps need each other
    delivery: Delivery, cluster: LocalCluster, datadog: StandIn
) -> None:
    """Each step is a commit or an abort. Datadog gets one request for each fact, and the health shows its outcome."""
    app = App(cluster, datadog, NAMESPACE, "checkout")
    delivery.sync()
    becomes(delivery, "checkout-1.5.0", "Healthy", "DryRun")
    becomes(delivery, "checkout-1.5.1", "Healthy", "WaitingForRollout")
    app.until("Healthy")
    assert app.asked() == []
    held_back = (GITOPS / "repository/checkout/dora/checkout-1.5.0.yaml").read_text(encoding="utf-8")
    delivery.repository.commit("Send the mark", marks={"checkout-1.5.0": to_send(held_back)})
    delivery.sync()
    becomes(delivery, "checkout-1.5.0", "Healthy", "Accepted")
    asked = [marked("1.5.0", "rollforward", "1.5.1")]
    app.wait_asked(*asked)

    delivery.repository.commit("Release 1.6.0", release="1.6.0")
    delivery.sync()
    app.until("Paused")
    app.argo("abort")
    asked.append(marked("1.6.0"))
    app.wait_asked(*asked)
    record = app.record("1.6.0")["metadata"]["name"]

    mark = {"checkout-1.6.0": to_send(shown("checkout-1.6.0"))}
    delivery.repository.commit("Revert to 1.5.1", release="1.5.1", marks=mark)
    delivery.sync()
    becomes(delivery, "checkout-1.6.0", "Healthy", "Accepted")
    app.until("Healthy")
    asked.append(marked("1.6.0", "rollback", "1.5.1"))
    app.wait_asked(*asked)
    assert record not in names(app)

    wrong = {"checkout-1.4.9": to_send(shown("checkout-1.5.0")).replace("1.5.0", "1.4.9")}
    delivery.repository.commit("Mark a version that Datadog refuses", marks=wrong)
    delivery.sync()
    becomes(delivery, "checkout-1.4.9", "Degraded", "RequestRejected")

    delivery.repository.commit("Remove two marks", removed=("checkout-1.4.9", "checkout-1.6.0"))
    delivery.sync()
    kept = {"checkout-1.5.0", "checkout-1.5.1", record}  # the Rollout still shows the abort
    eventually(lambda: names(app) == kept, lambda: f"{names(app)} is left, not {kept}", PATIENCE_SECONDS)
    app.wait_asked(*asked, marked("1.4.9", "rollforward", "1.5.1"), marked("1.6.0"))
    assert delivery.health("checkout-1.4.9") is None
    becomes(delivery, "checkout-1.5.0", "Healthy", "Accepted")


def names(app: App) -> set[str]:
    """Return the names of all DoraDeployments."""
    return set(app.kubectl("get", "dora", "-o", "jsonpath={.items[*].metadata.name}").split())


def becomes(delivery: Delivery, name: str, health: str, reason: str) -> None:
    """Wait until a DoraDeployment of Git has this health, with a message that begins with this reason."""

    def there() -> bool:
        found = delivery.health(name)
        return found is not None and found[0] == health and found[1].startswith(f"{reason}: ")

    eventually(there, lambda: f"{name} is not {health} by {reason}: {delivery.health(name)}", PATIENCE_SECONDS)
