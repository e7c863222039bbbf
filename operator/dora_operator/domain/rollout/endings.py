"""How a marked failure ends: promoted after all, rolled back to, rolled forward to, or not yet.

Walks the revisions since the failure, oldest first. The first promotion that ends it counts; a revision whose end was
not seen stops the walk wherever it could have been that promotion. Finds no failures of its own.
"""

from dataclasses import dataclass, replace

from dora_operator.domain.rollout.identity import Unidentified, linkable
from dora_operator.domain.rollout.scene import Scene
from dora_operator.domain.rollout.timeline import Entry, Fate
from dora_operator.domain.rollout.verdict import Kind, RemediationType, RetrySuccess, Verdict, remediation


@dataclass(frozen=True, slots=True)
class Ending:
    """The verdict as it is now. `doubtful`: Events might tell more about it."""

    verdict: Verdict
    doubtful: bool = False


def ending(scene: Scene, verdict: Verdict) -> Ending:
    """Return the verdict with what has happened since its cause."""
    if not _can_end(verdict):
        return Ending(verdict)
    # Seen aborted, and not seen left behind unpromoted: it may have been retried while nobody looked.
    is_certain = verdict.cause in scene.certain.unpromoted or verdict.cause == scene.timeline.current.number
    doubtful = verdict.kind is Kind.ABORTED and not is_certain
    for entry in scene.timeline.after(verdict.cause - 1):
        if entry is None:
            break
        if _is_untold(scene, verdict, entry):
            return Ending(verdict, doubtful=True)
        ended = _ended_by(scene, verdict, entry) if entry.fate is Fate.PROMOTED else None
        if ended is not None:
            return Ending(ended, doubtful and ended != verdict)
    return Ending(verdict)


def _can_end(verdict: Verdict) -> bool:
    is_restored = verdict.remediation is not None and verdict.kind in {Kind.ABORTED, Kind.UNDONE}
    if is_restored:
        # The return to the stable version was posted and linked: only a successful retry can take the mark away.
        return verdict.remediation is not None and verdict.remediation.type is RemediationType.ROLLBACK
    return verdict.remediation is None and verdict.kind in {Kind.ABORTED, Kind.UNDONE, Kind.ROLLED_BACK}


def _is_untold(scene: Scene, verdict: Verdict, entry: Entry) -> bool:
    """Tell whether a revision could have ended the failure, and nothing shows whether it did."""
    if verdict.kind is not Kind.ROLLED_BACK and _is_older(scene, entry, verdict):
        return False
    if entry.fate is not Fate.PROMOTED or entry.key == verdict.identity.key:
        return entry.fate is Fate.UNKNOWN
    return _is_deployment(scene, verdict, entry) is None


def _ended_by(scene: Scene, verdict: Verdict, promoted: Entry) -> Verdict | None:
    for rule in (_promoted_after_all, _called_off, _rolled_back_to, _rolled_forward_to):
        ended = rule(scene, verdict, promoted)
        if ended is not None:
            return ended
    return None


def _promoted_after_all(scene: Scene, verdict: Verdict, promoted: Entry) -> Verdict | None:
    """The marked deployment itself was promoted."""
    if promoted.key != verdict.identity.key:
        return None
    return _recovered(scene, verdict, promoted, f"revision {promoted.number} was promoted after all")


def _called_off(scene: Scene, verdict: Verdict, promoted: Entry) -> Verdict | None:
    """The rollback never came to its end: the version that it should have replaced is back."""
    if verdict.kind is not Kind.ROLLED_BACK or _is_deployment(scene, verdict, promoted):
        return None
    return _recovered(scene, verdict, promoted, f"the rollback of revision {verdict.cause} was called off")


def _rolled_back_to(scene: Scene, verdict: Verdict, promoted: Entry) -> Verdict | None:
    """An older version replaced a promoted one."""
    if verdict.kind is not Kind.ROLLED_BACK or not _is_older(scene, promoted, verdict):
        return None
    return _linked(verdict, promoted, RemediationType.ROLLBACK)


def _rolled_forward_to(scene: Scene, verdict: Verdict, promoted: Entry) -> Verdict | None:
    """A newer version was deployed and promoted."""
    is_newer = not _is_older(scene, promoted, verdict) and promoted.key != verdict.identity.key
    if verdict.remediation is not None or not is_newer or not _is_deployment(scene, verdict, promoted):
        return None
    return _linked(verdict, promoted, RemediationType.ROLLFORWARD)


def _is_deployment(scene: Scene, verdict: Verdict, promoted: Entry) -> bool | None:
    """Tell a promotion from a mere return to the revision that was stable all along; None when that was not seen."""
    if scene.timeline.is_new(promoted) or (verdict.kind is Kind.ROLLED_BACK and promoted.number == verdict.cause):
        return True
    stable = scene.timeline.stable_before(promoted.number)
    return None if stable is None else stable.key != promoted.key


def _is_older(scene: Scene, entry: Entry, verdict: Verdict) -> bool:
    ages = [each.number for each in scene.timeline.entries if each.key == verdict.identity.key]
    return scene.timeline.first_seen(entry.key) < min(ages, default=verdict.revision)


def _recovered(scene: Scene, verdict: Verdict, promoted: Entry, message: str) -> Verdict:
    if scene.policy.retry_success is RetrySuccess.KEEP:
        return replace(verdict, kind=Kind.KEPT)
    return replace(
        verdict,
        kind=Kind.RECOVERED,
        revision=promoted.number,
        cause=promoted.number,
        at=scene.observation.changed_at if promoted == scene.timeline.current else None,
        message=message,
        remediation=None,
        restored_at=None,
    )


def _linked(verdict: Verdict, promoted: Entry, kind: RemediationType) -> Verdict:
    identity = promoted.replica_set.identity
    if isinstance(identity, Unidentified) or not linkable(verdict.identity, identity):
        return verdict
    return replace(verdict, remediation=remediation(kind, identity))
