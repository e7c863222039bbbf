"""Sends one request when its account has room, its keys are there, and nobody else sends about the same deployment.

Knows nothing of statuses: what came of it is a value, and `reconciler` writes it down.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from dora_operator.domain.links import send_lane
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.outcome import Answer, Outcome, classify
from dora_operator.domain.plan import Send
from dora_operator.domain.sites import Site
from dora_operator.inventory import Inventory, Known
from dora_operator.ports import DatadogPort, Keys, NoKeys
from dora_operator.reconcile.accounts import Account, Accounts, Admission, Payer, account_of
from dora_operator.reconcile.lanes import Lanes

Woken = frozenset[ObjectKey]


@dataclass(frozen=True, slots=True)
class Asked:
    """The request was sent."""

    outcome: Outcome
    secret_version: str
    """Of the Secret with whose keys it was."""
    wake: Woken = frozenset()
    """Who waited for this deployment, to be woken when the outcome is written down."""


@dataclass(frozen=True, slots=True)
class Keyless:
    """There are no usable keys."""

    keys: NoKeys
    secret_version: str


@dataclass(frozen=True, slots=True)
class Full:
    """The account has no room; nothing was sent."""

    admission: Admission
    wake: Woken = frozenset()


@dataclass(frozen=True, slots=True)
class Outdated:
    """The resource has changed meanwhile; nothing was sent, decide anew."""

    wake: Woken = frozenset()


@dataclass(frozen=True, slots=True)
class Behind:
    """Somebody sends about the same deployment; this resource is woken afterwards."""


Sent = Asked | Keyless | Full | Outdated | Behind


@dataclass(slots=True)
class Sender:
    """The only sender of marks."""

    inventory: Inventory
    accounts: Accounts
    datadog: DatadogPort
    clock: Callable[[], datetime]
    arrived: Callable[[ObjectKey], None] = lambda _: None
    """Told who takes, or waits no longer for, what was free in its account."""
    _lanes: Lanes = field(default_factory=Lanes)

    async def send(self, known: Known, plan: Send) -> Sent:
        """Send a plan's request, if that is possible now.

        Raises:
            ClusterUnavailableError: the Secret could not be read this time.
        """
        account = account_of(known.key.namespace, plan.target)
        admission = self.accounts.admission(account, self.clock())
        if not admission.count:
            return Full(admission)
        view = await self.accounts.keys(account)
        if isinstance(view.keys, NoKeys):
            return Keyless(view.keys, view.resource_version)
        lane = send_lane(plan.target)
        if not self._lanes.enter(lane, known.key):
            return Behind()
        try:
            sent = await self._in_turn(known, plan, self.accounts.payer(account), view.keys)
        finally:
            wake = frozenset(self._lanes.leave(lane))
        if isinstance(sent, Full | Outdated):
            return replace(sent, wake=wake)
        return Asked(sent, view.resource_version, wake)

    async def _in_turn(
        self, known: Known, plan: Send, account: Account | Payer, keys: Keys
    ) -> Outcome | Full | Outdated:
        self.arrived(known.key)  # from here on the account counts it
        if not await self.accounts.enter(account, self.clock):
            return Full(self.accounts.admission(account, self.clock()))
        headers: Mapping[str, str] = {}
        try:
            if self.inventory.get(known.key) is not known:
                return Outdated()
            answer = await self.datadog.patch(plan.request, Site(account.site), keys)
            headers = answer.headers if isinstance(answer, Answer) else {}
        finally:
            self.accounts.end(account, headers, self.clock())
        return classify(answer, self.clock())
