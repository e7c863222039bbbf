"""When a user's DoraDeployment takes over from the operator's own record of what a Rollout did.

The user's one speaks alone from then on. It begins with what the record has had accepted, so that nothing is sent
twice, and the record goes when the verdict stands in the user's status. Deletes nothing itself.
"""

from dataclasses import dataclass

from dora_operator.domain.links import rollout as rollout_link
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.rollout.follow import to_verdict
from dora_operator.domain.rollout.verdict import Verdict
from dora_operator.domain.spec import DoraDeploymentSpec
from dora_operator.inventory import Inventory, Known
from dora_operator.reconcile.board import record_of
from dora_operator.reconcile.surroundings import is_forerunner, spec_of
from dora_operator.reconcile.writer import read_status


@dataclass(frozen=True, slots=True)
class Forerunner:
    """A record, and what it says."""

    record: Known
    verdict: Verdict


def forerunner_of(known: Known, spec: DoraDeploymentSpec, inventory: Inventory) -> Forerunner | None:
    """Return the record from which a user's DoraDeployment takes over, if there is one."""
    records = [each for each in _beside(known, spec, inventory) if is_forerunner(each, known, spec)]
    found = [Forerunner(each, verdict) for each in records if (verdict := record_of(each)) is not None]
    return max(found, key=lambda each: each.verdict.cause, default=None)


def heir_of(record: Known, inventory: Inventory) -> Known | None:
    """Return the user's DoraDeployment in whose stored status the record's failure stands already, if there is one."""
    verdict, spec = record_of(record), spec_of(record)
    if verdict is None or spec is None:
        return None
    for other in (each for each in _beside(record, spec, inventory) if each.verdict_json is None):
        wanted, told = spec_of(other), to_verdict(read_status(other.status_json).rollout)
        follows = wanted is not None and is_forerunner(record, other, wanted)
        if follows and told is not None and told.identity.key == verdict.identity.key:
            return other
    return None


def _beside(known: Known, spec: DoraDeploymentSpec, inventory: Inventory) -> list[Known]:
    if spec.rollout_ref is None:
        return []
    keys: list[ObjectKey] = inventory.linked(rollout_link(known.key.namespace, spec.rollout_ref.name))
    return [other for key in keys if key != known.key and (other := inventory.get(key)) is not None]
