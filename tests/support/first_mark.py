"""The README's five steps, and what has to be true after them."""

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn, fingerprint
from tests.support.installation import OWN
from tests.support.reader import Reader, blocks_of
from tests.support.rollouts import App, marked

(FIVE_STEPS,) = [block for block in blocks_of("README.md") if "helm -n" in block.text]
YOURS = {"ROLLOUT": "checkout", "SERVICE": "checkout", "ENV": "prod"}
KEYS = {"api-key=...": f"api-key={OWN[0]}", "app-key=...": f"app-key={OWN[1]}"}
"""What every page leaves to its reader."""


def checkout(cluster: LocalCluster, datadog: StandIn) -> App:
    """Return a Rollout as the README needs it: a canary that waits half-way, without Datadog's labels so far."""
    app = App(cluster, datadog, "default", "checkout", untagged=("service", "env", "version"))
    app.release("1.0.0")
    return app


def five_steps(reader: Reader, datadog: StandIn, registry: str = "localhost") -> float:
    """Follow them, and return the seconds from the beginning of `helm install` to the first PATCH."""
    app = checkout(reader.cluster, datadog)
    reader.follow(FIVE_STEPS, KEYS | YOURS | {"REGISTRY": registry}, {"kubectl get dora": "True"})
    assert app.asked() == [marked("1.5.1")]
    (request,) = datadog.requests()
    assert request.api_key == fingerprint(OWN[0])
    return request.time - reader.times["helm"]
