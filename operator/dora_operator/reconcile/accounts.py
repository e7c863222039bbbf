"""Accounts: which keys a resource uses, and how many requests an account may begin now.

An account is a site with the Secret that holds its keys; without a Secret it is the operator's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from dora_operator.domain.budget import Budget, read
from dora_operator.domain.observed import Target
from dora_operator.ports import ClusterPort, Keys, NoKeys, ObjectKey, SecretView


class Account(NamedTuple):
    """Whose rate limit a request counts against."""

    site: str
    secret: ObjectKey | None


def account_of(namespace: str, target: Target) -> Account:
    """Return the account of a target. Its Secret is always in the resource's own namespace."""
    name = target.credentials_secret
    return Account(target.site, ObjectKey(namespace, name) if name else None)


MOST_AT_ONCE = 8
"""Requests in flight for one account. More would make httpx slower, and let one slow account take every worker."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether requests may begin."""

    count: int
    opens_at: datetime | None = None
    """When one may, where none may now and no answer is under way that would tell."""


@dataclass(slots=True)
class Accounts:
    """Keys and budgets of all accounts. Keys are read anew for each request: a changed Secret counts at once."""

    cluster: ClusterPort
    own_keys: Keys | NoKeys
    most_at_once: int = MOST_AT_ONCE
    freed: Callable[[], None] = lambda: None
    """Called when an answer has come: who waits may go on at once, not only when its status is written."""
    _budgets: dict[Account, Budget] = field(default_factory=dict)
    """Of accounts that there is something to remember of."""

    async def keys(self, account: Account) -> SecretView:
        """Return the account's keys, or why there are none.

        Raises:
            ClusterUnavailableError: the Secret could not be read this time.
        """
        if account.secret is None:
            return SecretView("", self.own_keys)
        return await self.cluster.read_secret(account.secret)

    def admission(self, account: Account, now: datetime) -> Admission:
        """Tell whether requests of an account may begin now."""
        budget = self._budget(account)
        return Admission(budget.admits(now), budget.opens_at(now))

    def begin(self, account: Account) -> None:
        """Count a request that begins."""
        self._budgets[account] = self._budget(account).begun()

    def end(self, account: Account, headers: Mapping[str, str], now: datetime) -> None:
        """Count a request that has ended, with the headers of its answer."""
        self._keep(account, self._budget(account).ended(read(headers, now), now), now)
        self.freed()

    def close(self, account: Account, until: datetime, now: datetime) -> None:
        """Begin nothing for this account before `until`."""
        self._keep(account, self._budget(account).closed(until), now)

    def _budget(self, account: Account) -> Budget:
        return self._budgets.get(account) or Budget(self.most_at_once)

    def _keep(self, account: Account, budget: Budget, now: datetime) -> None:
        if budget.is_idle(now):
            self._budgets.pop(account, None)
        else:
            self._budgets[account] = budget
