"""The run: failed deployments are applied one by one, Datadog fails for a while, `/metrics` is scraped all along."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn
from sandbox.datadog.faults import Match, Respond
from sandbox.running import OperatorProcess, running_operator

CRDS = Path(__file__).parents[2] / "crds"
SECONDS = 60.0
FAILS_FROM, FAILS_UNTIL = 15.0, 40.0
APPLY_EVERY, SCRAPE_EVERY = 2.0, 0.5

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Scrape:
    """All samples of one moment; seconds since the beginning."""

    at: float
    samples: Sequence[tuple[str, Labels, float]]

    def by(self, name: str, label: str = "") -> dict[str, float]:
        """Return a metric's samples, added up by a label."""
        found: dict[str, float] = {}
        for sample, labels, value in self.samples:
            if sample == name:
                key = labels.get(label, "")
                found[key] = found.get(key, 0.0) + value
        return found


def record() -> list[Scrape]:
    """Return the scrapes of one run."""
    with LocalCluster.start() as cluster, StandIn() as datadog:
        cluster.kubectl("apply", "-f", str(CRDS))
        cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
        with running_operator(cluster, datadog.url) as operator:
            return list(_watched(cluster, datadog, operator))


def _watched(cluster: LocalCluster, datadog: StandIn, operator: OperatorProcess) -> list[Scrape]:
    begun, scrapes, applied, fails = time.monotonic(), [], 0, False
    while (now := time.monotonic() - begun) < SECONDS:
        scrapes.append(Scrape(now, _parsed(operator.metrics())))
        if now >= applied * APPLY_EVERY:
            applied += 1
            cluster.kubectl("apply", "-f", "-", input=_failure(applied))
        if fails is not (fails := FAILS_FROM <= now < FAILS_UNTIL):
            _change(datadog, fails=fails)
        time.sleep(SCRAPE_EVERY)
    return scrapes


def _change(datadog: StandIn, *, fails: bool) -> None:
    if fails:
        datadog.fault(Respond(status=503, body="upstream"), match=Match(method="PATCH"))
    else:
        datadog.clear_faults()


def _failure(number: int) -> str:
    spec = {"deployment": {"id": f"deployment-{number:04}"}, "changeFailure": True}
    metadata = {"name": f"failed-{number}", "namespace": "default"}
    return json.dumps(
        {"apiVersion": "dora-operator.io/v1alpha1", "kind": "DoraDeployment", "metadata": metadata, "spec": spec}
    )


def _parsed(text: str) -> list[tuple[str, Labels, float]]:
    families = text_string_to_metric_families(text)
    return [(sample.name, sample.labels, sample.value) for family in families for sample in family.samples]
