"""The allow-list through the whole operator: refused, allowed later, and no lever against others."""

from tests.support.builders import BY_VERSION
from tests.support.fakes import FakeCluster, FakeDatadog, running_operator


async def test_refused_until_the_namespace_allows_it() -> None:
    """Nothing is sent, a Warning Event says why; when the annotation is extended, it is sent within a minute."""
    cluster, datadog = FakeCluster(annotations={"dora-operator.io/allowed-services": "cart"}), FakeDatadog()
    cluster.apply("a", deployment=BY_VERSION, changeFailure=True)
    async with running_operator(cluster, datadog) as operator:
        assert cluster.warnings() == [("a", "NotAllowed")]
        assert not datadog.requests
        cluster.annotations = {"dora-operator.io/allowed-services": "cart,checkout"}
        await operator.pass_time(61)
    assert len(datadog.requests) == 1


async def test_keys_of_ones_own_are_not_judged() -> None:
    """Whoever brings a Secret may mark what its keys may mark."""
    cluster, datadog = FakeCluster(annotations={"dora-operator.io/allowed-services": "cart"}), FakeDatadog()
    cluster.put_secret("mine", "my-api-key")
    cluster.apply("a", changeFailure=True, credentialsSecretRef={"name": "mine"})
    async with running_operator(cluster, datadog):
        pass
    assert len(datadog.requests) == 1


async def test_who_is_not_allowed_holds_up_nobody() -> None:
    """An older resource of another namespace that may not mark the service is no rival."""
    cluster, datadog = FakeCluster(), FakeDatadog()
    lists = {"dora-operator.io/allowed-services": "nothing"}

    async def read(namespace: str) -> dict[str, str]:
        return lists if namespace == "other" else {}

    cluster.read_annotations = read  # type: ignore[method-assign]
    cluster.apply("older", namespace="other", age_seconds=60, deployment=BY_VERSION, changeFailure=False)
    cluster.apply("mine", deployment=BY_VERSION, changeFailure=True)
    async with running_operator(cluster, datadog):
        pass
    assert cluster.status("mine")["accepted"] == {"changeFailure": True}
    assert len(datadog.requests) == 1
