"""The deployments of one service and env in the order of their time, and Datadog's rule for rollbacks.

Pure. The rule (documented): a deployment whose version was deployed before, and is not the version of its immediate
predecessor, is a rollback; the change failure is the first deployment after the rollback target (V1, V2, V3, V1 marks
V2). Versions are compared by commit sha where both deployments have one, else by their version tag. Chosen here: the
order is the one of finish times, and of several earlier deployments of the version the latest is the target.
"""

from bisect import bisect_left, bisect_right, insort
from collections import defaultdict

from sandbox.datadog.values import Deployment

Moment = tuple[float, float]
_BEFORE_ALL, _AFTER_ALL = float("-inf"), float("inf")


def same_version(one: Deployment, other: Deployment) -> bool:
    """Say whether Datadog takes two deployments for the same version."""
    first, second = one.event, other.event
    if first.git is not None and second.git is not None:
        return first.git.commit_sha == second.git.commit_sha
    return first.version is not None and first.version == second.version


class Stream:
    """The visible deployments of one service and env; every question is answered by binary search."""

    def __init__(self) -> None:
        self._by_finish: list[Deployment] = []
        self._by_start: list[Deployment] = []
        self._by_version: defaultdict[str | None, list[Deployment]] = defaultdict(list)
        self._by_version_without_commit: defaultdict[str | None, list[Deployment]] = defaultdict(list)
        self._by_commit: defaultdict[str, list[Deployment]] = defaultdict(list)

    def add(self, deployment: Deployment) -> None:
        """Take in a deployment."""
        for ordered in self._ordered_by_finish(deployment):
            insort(ordered, deployment, key=by_finish)
        insort(self._by_start, deployment, key=by_start)

    def remove(self, deployment: Deployment) -> None:
        """Forget a deployment."""
        for ordered in self._ordered_by_finish(deployment):
            del ordered[_position(ordered, deployment)]
        del self._by_start[bisect_left(self._by_start, by_start(deployment), key=by_start)]

    def newest(self, version: str | None) -> Deployment | None:
        """Return the deployment of a version that finished last."""
        same = self._by_version.get(version)
        return same[-1] if same else None

    def started_between(self, start: float, end: float) -> list[Deployment]:
        """Return what started in a span of time, both ends included, in the order of the starts."""
        first = bisect_left(self._by_start, (start, _BEFORE_ALL), key=by_start)
        last = bisect_right(self._by_start, (end, _AFTER_ALL), key=by_start)
        return self._by_start[first:last]

    def failed_before(self, rollback: Deployment) -> Deployment | None:
        """Return the change failure that a deployment reveals by being a rollback, or nothing."""
        position = _position(self._by_finish, rollback)
        if position == 0 or same_version(self._by_finish[position - 1], rollback):
            return None
        target = self._target(rollback)
        return None if target is None else self._by_finish[_position(self._by_finish, target) + 1]

    def before(self, deployment: Deployment) -> Deployment | None:
        """Return the deployment that finished before this one."""
        position = _position(self._by_finish, deployment)
        return self._by_finish[position - 1] if position else None

    def _target(self, rollback: Deployment) -> Deployment | None:
        """Return the latest earlier deployment of the same version."""
        event = rollback.event
        candidates: list[list[Deployment]] = []
        if event.git is not None:
            candidates.append(self._by_commit[event.git.commit_sha])
        if event.version is not None:
            by_version = self._by_version if event.git is None else self._by_version_without_commit
            candidates.append(by_version[event.version])
        positions = [(ordered, _position(ordered, rollback)) for ordered in candidates]
        return max((ordered[position - 1] for ordered, position in positions if position), key=by_finish, default=None)

    def _ordered_by_finish(self, deployment: Deployment) -> list[list[Deployment]]:
        event = deployment.event
        if event.git is None:
            last = self._by_version_without_commit[event.version]
        else:
            last = self._by_commit[event.git.commit_sha]
        return [self._by_finish, self._by_version[event.version], last]


def by_finish(deployment: Deployment) -> Moment:
    """Order deployments by the end of each."""
    return (deployment.event.finished_at, deployment.sequence)


def by_start(deployment: Deployment) -> Moment:
    """Order deployments by the start of each."""
    return (deployment.event.started_at, deployment.sequence)


def _position(ordered: list[Deployment], deployment: Deployment) -> int:
    """Return where a deployment is, or would be."""
    return bisect_left(ordered, by_finish(deployment), key=by_finish)
