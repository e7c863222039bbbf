"""Which revision a rollback marks, by Datadog's own rule: the first deployment after the rollback target.

V1, V2, V3, V1 marks V2. A deployment is a promoted revision that went forward: those that never were promoted, returns
to an older version and returns to the stable version are passed over, as are revisions that Datadog cannot know in the
target's service and env. Where a revision that decides is not known, there is no answer.
"""

from dora_operator.domain.history.history import Revision, State, is_older, replaced_by

Revisions = tuple[Revision, ...]


def first_after(revisions: Revisions, target: Revision, replaced: Revision | None) -> Revision | None:
    """Return the revision that a rollback from `replaced` to `target` marks, of those before it; None: not known.

    Where nothing was deployed in the target's service and env, it is the replaced one.
    """
    answers = [_first_deployment(revisions, start, target, replaced) for start in _deployments_of(revisions, target)]
    return answers[0] if answers and all(answer == answers[0] for answer in answers) else None


def _deployments_of(revisions: Revisions, target: Revision) -> list[int]:
    """Return where the target may have been deployed last: it counts as deployed at least where it appeared."""
    starts = []
    for index in reversed(range(len(revisions))):
        revision = revisions[index]
        if revision.key != target.key:
            continue
        if revision.state in {State.PROMOTED, State.UNKNOWN} or not revision.redeployed:
            starts.append(index)
        if revision.state is State.PROMOTED or not revision.redeployed:
            return starts
    return []


def _first_deployment(revisions: Revisions, start: int, target: Revision, replaced: Revision | None) -> Revision | None:
    number = revisions[start].number
    for index in range(start + 1, len(revisions)):
        revision = revisions[index]
        if revision.number > number + 1:
            return None
        number = revision.number
        if revision.key == target.key or not _is_comparable(revision, target):
            continue
        is_forward = revision.state is State.PROMOTED and _is_forward(revisions, index)
        if revision.state is State.UNKNOWN or is_forward is None:
            return None
        if is_forward:
            return revision
    return replaced


def _is_comparable(revision: Revision, target: Revision) -> bool:
    one, other = revision.identity, target.identity
    return one.is_known and (not other.is_known or (one.service, one.env) == (other.service, other.env))


def _is_forward(revisions: Revisions, index: int) -> bool | None:
    revision = revisions[index]
    if not revision.redeployed:
        return True
    before = replaced_by(revisions[:index], revision.number)
    return None if before is None else is_older(before, revision)
