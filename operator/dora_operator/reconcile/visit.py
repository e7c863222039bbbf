"""What a look at one DoraDeployment leaves to do. Values only."""

from dataclasses import dataclass
from datetime import datetime

from dora_operator.domain.object_key import ObjectKey
from dora_operator.ports import ClusterUnavailableError
from dora_operator.reconcile.accounts import Account


@dataclass(frozen=True, slots=True)
class Visit:
    """What a reconcile leaves to do: look again at a time, and whom to wake."""

    again_at: datetime | None = None
    wake: frozenset[ObjectKey] = frozenset()
    room: Account | None = None
    """The account whose turn has to come first."""


class SaveFailedError(ClusterUnavailableError):
    """The status could not be written; the inventory keeps it. `wake` names who must be woken all the same."""

    def __init__(self, wake: frozenset[ObjectKey]) -> None:
        super().__init__("the status was not written")
        self.wake = wake
