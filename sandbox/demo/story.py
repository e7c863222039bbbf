"""The story of the demo: one scene for each thing that a new user wants to see."""

from sandbox.datadog import Match, Respond
from sandbox.demo import rollouts
from sandbox.demo.stage import Stage

BY_ID = """
apiVersion: dora-operator.io/v1alpha1
kind: DoraDeployment
metadata:
  name: payments-failed
spec:
  deployment:
    id: 4242fcdd31586083
  changeFailure: true
"""
BY_VERSION = """
apiVersion: dora-operator.io/v1alpha1
kind: DoraDeployment
metadata:
  name: checkout-1.5.0
spec:
  deployment:
    service: checkout
    env: prod
    version: 1.5.0
  changeFailure: true
  remediation:
    type: rollback
    version: 1.4.2
"""
BAD = """
apiVersion: dora-operator.io/v1alpha1
kind: DoraDeployment
metadata:
  name: mistaken
spec:
  deployment:
    service: checkout
    env: prod
  changeFailure: true
  remediation:
    type: rollback
"""
LIMITED = """
apiVersion: dora-operator.io/v1alpha1
kind: DoraDeployment
metadata:
  name: search-failed
spec:
  deployment:
    id: 43vkaZNgiso
  changeFailure: true
"""
REJECTED = """
apiVersion: dora-operator.io/v1alpha1
kind: DoraDeployment
metadata:
  name: refused-by-datadog
spec:
  deployment:
    id: z_RwVLi7v4Y
  changeFailure: true
"""
RESET_SECONDS = 2
HOUR = 3600
"""How long a deployment has to be missing before the operator creates it."""


def play(stage: Stage) -> None:
    """Play all scenes.

    Raises:
        SandboxError: something went otherwise than expected.
    """
    by_id(stage)
    by_version(stage)
    read_back(stage)
    refused_by_the_api_server(stage)
    rate_limited(stage)
    refused_by_datadog(stage)
    aborted_by_analysis(stage)
    undone_after_promotion(stage)
    missing(stage)
    created(stage)
    overview(stage)


def by_id(stage: Stage) -> None:
    """Mark a deployment by its id."""
    stage.scene("1. A failed deployment, by its id", "CI knows the id of the deployment that it reported.")
    stage.apply(BY_ID)
    stage.show("payments-failed", stage.wait("payments-failed", "Accepted"))
    stage.expect(fact=len(stage.writes()) == 1, words="one change was one request")


def by_version(stage: Stage) -> None:
    """Mark a deployment by service, env and version, with its remediation."""
    words = "Nobody knows the id: service, env and version name the deployment. It was rolled back to 1.4.2."
    stage.scene("2. By service, env and version, with the rollback", words)
    stage.apply(BY_VERSION)
    stage.show("checkout-1.5.0", stage.wait("checkout-1.5.0", "Accepted"))


def read_back(stage: Stage) -> None:
    """What Datadog stored is read back."""
    words = "A 202 proves that a request was well formed, no more. So the operator reads back what Datadog stored."
    stage.scene("3. Did Datadog store it?", words)
    status = stage.wait("checkout-1.5.0", "ReadBack", "Verified")
    stage.show("checkout-1.5.0", status, reads_of="checkout")
    found = status["readBack"]
    minutes = found["recoveryTimeSeconds"] // 60
    stage.expect(
        fact=found["changeFailure"] and minutes == HOUR // 60,
        words=f"Verified is True: deployment {found['id']} is failed in Datadog, its recovery time {minutes} minutes",
    )


def refused_by_the_api_server(stage: Stage) -> None:
    """A mistake is refused before anything happens."""
    words = "Two mistakes. The API server refuses them at once, and says what to do about each."
    stage.scene("4. A bad one", words)
    before = len(stage.writes())
    taken = stage.apply(BAD)
    stage.expect(fact=not taken and len(stage.writes()) == before, words="it was refused; Datadog heard nothing of it")


def rate_limited(stage: Stage) -> None:
    """A 429 is waited for and survived."""
    words = f"Datadog answers the first request with 429 and X-RateLimit-Reset: {RESET_SECONDS}."
    stage.scene("5. One that gets a 429 first", words)
    headers: dict[str, str | list[str] | None] = {"X-RateLimit-Reset": str(RESET_SECONDS)}
    answer = Respond(status=429, body={"errors": ["Too many requests"]}, headers=headers)
    stage.datadog.fault(answer, match=Match(method="PATCH"), times=1)
    stage.apply(LIMITED)
    stage.show("search-failed", stage.wait("search-failed", "RateLimited"))
    stage.console.print("[dim]... and without anybody's doing:[/dim]")
    stage.show("search-failed", stage.wait("search-failed", "Accepted"))
    refused, accepted = stage.writes()[-2:]
    passed = accepted.time - refused.time
    stage.expect(fact=passed >= RESET_SECONDS, words=f"the second request came {passed:.1f} s later, after the reset")


def refused_by_datadog(stage: Stage) -> None:
    """A 400 stalls the resource, with Datadog's words."""
    words = "Datadog refuses a request for good. Its own words reach status and a Warning Event; nothing is repeated."
    stage.scene("6. One that Datadog refuses", words)
    detail = {"errors": [{"status": "400", "title": "Bad Request", "detail": "deployment is too old to be changed"}]}
    stage.datadog.fault(Respond(status=400, body=detail), match=Match(method="PATCH"), times=1)
    stage.apply(REJECTED)
    stage.show("refused-by-datadog", stage.wait("refused-by-datadog", "RequestRejected"))


def prepare(stage: Stage, metrics_url: str) -> None:
    """Deploy the first version of two services, which become healthy while the first scenes play.

    CI reports every deployment that succeeded.
    """
    stage.report("payments", "7", ago=HOUR, deployment_id="4242fcdd31586083")
    stage.report("search", "7", ago=HOUR, deployment_id="43vkaZNgiso")
    for version, hours in (("1.4.2", 3), ("1.5.0", 2), ("1.4.2", 1)):
        stage.report("checkout", version, ago=hours * HOUR)
    stage.cluster.kubectl("apply", "-f", "-", input=rollouts.analysis_template(metrics_url))
    for name, strategy in (("web", rollouts.CANARY_WITH_ANALYSIS), ("cart", rollouts.CANARY_AT_ONCE)):
        stage.cluster.kubectl("apply", "-f", "-", input=rollouts.rollout(name, "1.0.0", strategy))
        stage.report(name, "1.0.0", ago=60)


def aborted_by_analysis(stage: Stage) -> None:
    """A canary fails its analysis; nobody does anything."""
    words = (
        "Service web runs 1.0.0. A canary of 1.1.0 begins; its analysis asks a metrics service, which reports a success"
        "\nrate of 71 %. Argo aborts. Nothing is deployed, so Datadog alone would never learn of it."
    )
    stage.scene("7. A canary that is aborted by its analysis", words)
    stage.wait_healthy("web", "cart")
    stage.cluster.kubectl("apply", "-f", "-", input=rollouts.rollout("cart", "1.1.0", rollouts.CANARY_AT_ONCE))
    stage.cluster.kubectl("apply", "-f", "-", input=rollouts.rollout("web", "1.1.0", rollouts.CANARY_WITH_ANALYSIS))
    made = stage.wait_made("web")
    message = stage.cluster.kubectl("get", "rollout", "web", "-o", "jsonpath={.status.message}")
    stage.console.print(f"[dim]Rollout web says:[/dim] {message}")
    stage.show(made, stage.wait(made, "Accepted"))
    requests = [request for request in stage.writes() if '"web"' in request.body]
    stage.expect(fact=len(requests) == 1, words="one abort was one request, and nobody had to do anything")


def undone_after_promotion(stage: Stage) -> None:
    """A promoted version is rolled back by hand."""
    words = "Service cart has promoted 1.1.0. A user finds it bad and goes back: kubectl argo rollouts undo cart."
    stage.scene("8. An undo after promotion", words)
    stage.wait_healthy("cart")
    stage.report("cart", "1.1.0", ago=30, deployment_id="ci-cart-1.1.0")
    stage.cluster.argo("undo", "cart")
    made = stage.wait_made("cart")
    stage.wait_healthy("cart")
    stage.report("cart", "1.0.0")
    stage.wait_until(lambda: "remediation" in stage.status(made).get("accepted", {}), "the rollback was not linked")
    stage.show(made, stage.wait(made, "Accepted"))
    requests = [request for request in stage.writes() if "cart" in request.body]
    words = "marked when the rollback started, linked when 1.0.0 was promoted again"
    stage.expect(fact=len(requests) == len(("mark", "link")), words=words)


def missing(stage: Stage) -> None:
    """A mark for a deployment that Datadog does not have."""
    words = (
        "The abort of scene 7 again. This CI reports only deployments that succeed: Datadog has no web 1.1.0."
        "\nIt answered 202 all the same, and marked nothing. The list of deployments shows it."
    )
    stage.scene("9. A deployment that Datadog does not have", words)
    made = stage.wait_made("web")
    stage.show(made, stage.wait(made, "DeploymentMissing"), reads_of="web")


def created(stage: Stage) -> None:
    """The missing deployment is created, and marked."""
    words = (
        "Rollout web has the annotation dora-operator.io/on-missing: Create. An hour after the revision ended (here a"
        "\nminute), the operator posts the missing event, with the times of the Rollout, and marks it by its id. If the"
        "\nreal one appears later, that one is marked, and the operator's own is deleted."
    )
    stage.scene("10. The missing deployment is created", words)
    made = stage.wait_made("web")
    status = stage.wait(made, "ReadBack", "Verified")
    stage.show(made, status, reads_of="web")
    deployment = stage.datadog.deployment(status["readBack"]["id"])
    events = [request for request in stage.writes() if request.path.endswith("/deployment")]
    stage.expect(
        fact=len(events) == 1 and deployment["change_failure"] and deployment["version"] == "1.1.0",
        words="one event, one mark: Datadog has web 1.1.0 as a failed deployment, and Verified is True",
    )


def overview(stage: Stage) -> None:
    """What `kubectl get` shows in the end."""
    stage.scene("What a later reader sees", "[dim]$ kubectl get dora[/dim]")
    stage.console.print(stage.cluster.kubectl("get", "dora").rstrip(), highlight=False)
    stage.console.print("\n[dim]$ kubectl get dorahist[/dim]")
    stage.console.print(stage.cluster.kubectl("get", "dorahist").rstrip(), highlight=False)
    stage.console.print("\n[dim]$ kubectl get events --field-selector type=Warning[/dim]")
    selector = ("--field-selector", "type=Warning", "-o", "custom-columns=REASON:.reason,MESSAGE:.message")
    stage.console.print(stage.cluster.kubectl("get", "events", *selector).rstrip(), highlight=False)
