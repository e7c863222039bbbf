"""The end of a recorded trace, and facts about its Rollout."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from dora_operator.domain.history.history import History
from dora_operator.domain.resource import DoraDeployment
from dora_operator.domain.stored import StoredDeployment
from kubectl_dora.facts import RolloutFacts
from kubectl_dora.installation import settings_of
from tests.unit.history.test_traces import Levels, trace

SETTINGS = settings_of({})
TAGS = {"service": "checkout", "env": "prod"}


def levels_of(name: str) -> Levels:
    """Return the state at the end of a trace."""
    levels = Levels()
    for line in trace(name):
        levels.apply(line)
    return levels


def facts_of(
    levels: Levels, stored: History | None = None, deployments: Iterable[DoraDeployment] = (), **annotations: str
) -> RolloutFacts:
    """Return the facts about the Rollout of a trace. Annotations: those of the Namespace."""
    return RolloutFacts(
        rollout=levels.rollout,
        replica_sets=tuple(levels.replica_sets.values()),
        settings=SETTINGS,
        stored=stored,
        deployments=tuple(deployments),
        namespace_annotations=annotations,
        operator="dora-operator/dora-operator",
    )


def row(
    name: str, version: str, began: datetime, *, marked: bool | str | None = False, **fields: Any
) -> StoredDeployment:
    """Return a deployment in Datadog that took a minute. marked="absent": its answer has no such field."""
    values: dict[str, Any] = {"finished_at": began + timedelta(minutes=1), "source": "ci", **TAGS} | fields
    return StoredDeployment(
        id=name,
        version=version,
        started_at=began,
        has_mark=marked != "absent",
        change_failure=None if isinstance(marked, str) else marked,
        **values,
    )


def rows_of(facts: RolloutFacts, *rows: StoredDeployment) -> dict[tuple[str, str], Sequence[StoredDeployment]]:
    """Return the rows as those of the service of the Rollout."""
    template = next(iter(facts.replica_sets))["spec"]["template"]["metadata"]["labels"]
    service, env = (template[f"tags.datadoghq.com/{tag}"] for tag in ("service", "env"))
    return {(service, env): rows}
