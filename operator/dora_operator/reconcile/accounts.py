"""Accounts: which keys a resource uses, and how many requests an account may begin now.

An account is a site with the Secret that holds its keys; without a Secret it is the operator's own. Accounts whose
Secrets hold the same API key are one to Datadog: they share a budget, from the first time that their keys are read.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import inf
from typing import NamedTuple

from dora_operator.domain.budget import Budget, read
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.observed import Target
from dora_operator.ports import ClusterPort, Keys, NoKeys, SecretView


class Account(NamedTuple):
    """Whose rate limit a request counts against."""

    site: str
    secret: ObjectKey | None


def account_of(namespace: str, target: Target) -> Account:
    """Return the account of a target. Its Secret is always in the resource's own namespace."""
    name = target.credentials_secret
    return Account(target.site, ObjectKey(namespace, name) if name else None)


class Payer(NamedTuple):
    """Who has the rate limit: an API key on a site. Python's hash tells keys apart in this process alone."""

    site: str
    api_key: int


MOST_AT_ONCE = 8
"""Requests in flight for one account. More would make httpx slower, and let one slow account take every worker."""
LINE = 4
"""How many more stand ready, decided and with their keys, so that an answer is followed by the next request at once."""
KEPT_FREE = 4
"""One of so many workers is left to accounts with no request under way: however many hang, another one goes on."""


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether requests may begin, or stand ready for it."""

    count: int
    opens_at: datetime | None = None
    """When one may, where none may now and no answer is under way that would tell."""


@dataclass(slots=True)
class Accounts:
    """Keys and budgets of all accounts. Keys are read anew for each request: a changed Secret counts at once."""

    cluster: ClusterPort
    own_keys: Keys | NoKeys
    most_at_once: int = MOST_AT_ONCE
    most_in_all: float = inf
    """How many may be under way or stand ready, of all accounts together, before each has one at most."""
    freed: Callable[[], None] = lambda: None
    """Called when an answer has come: who waits may go on at once, not only when its status is written."""
    _budgets: dict[Account | Payer, Budget] = field(default_factory=dict)
    """Of whom there is something to remember."""
    _payers: dict[Account, Payer] = field(default_factory=dict)
    """Of accounts whose keys were read."""
    _lines: dict[Account | Payer, deque[asyncio.Future[bool]]] = field(default_factory=dict)
    """Who stands ready; each is told whether a request of its may begin, and that one is counted already."""
    _in_all: int = 0
    """How many have entered, or stand ready."""

    async def keys(self, account: Account) -> SecretView:
        """Return the account's keys, or why there are none.

        Raises:
            ClusterUnavailableError: the Secret could not be read this time.
        """
        view = SecretView("", self.own_keys)
        if account.secret is not None:
            view = await self.cluster.read_secret(account.secret)
        if isinstance(view.keys, Keys):
            self._learn(account, Payer(account.site, hash(view.keys.api_key)))
        return view

    def payer(self, account: Account) -> Account | Payer:
        """Return whose budget counts: that of the keys that were read last, or of the account alone before that."""
        return self._payers.get(account, account)

    def admission(self, account: Account | Payer, now: datetime) -> Admission:
        """Tell whether requests of an account may begin now, or stand ready."""
        account = self._payer_of(account)
        budget = self._budget(account)
        count = max(0, budget.admits(now, LINE) - self._standing(account))
        return Admission(min(count, self._left_over(account)), budget.opens_at(now))

    async def enter(self, account: Account | Payer, clock: Callable[[], datetime]) -> bool:
        """Count a request that begins when this returns, after a wait for those in flight; False: there is no room.

        Who entered leaves by `end`, whether a request was sent or not, as the same payer.
        """
        if not self.admission(account, clock()).count:
            return False
        self._in_all += 1
        budget = self._budget(account)
        if budget.admits(clock()) and not self._standing(account):
            self._budgets[account] = budget.begun()
            return True
        place: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._lines.setdefault(account, deque()).append(place)
        try:
            if not await place:
                self._in_all -= 1
                return False
        except asyncio.CancelledError:
            if not place.cancelled() and place.result():  # let in, and stopped before the first step
                self.end(account, {}, clock())
            else:
                self._in_all -= 1
            raise
        if self._budget(account).is_closed(clock()):  # by the answer that made room
            self.end(account, {}, clock())
            return False
        return True

    def end(self, account: Account | Payer, headers: Mapping[str, str], now: datetime) -> None:
        """Count a request that has ended, with the headers of its answer."""
        self._in_all -= 1
        self._keep(account, self._budget(account).ended(read(headers, now), now), now)
        self._move_up(account, now)
        self.freed()

    def close(self, account: Account | Payer, until: datetime, now: datetime) -> None:
        """Begin nothing for this account before `until`."""
        account = self._payer_of(account)
        self._keep(account, self._budget(account).closed(until, now), now)
        self._move_up(account, now)

    def _learn(self, account: Account, payer: Payer) -> None:
        if self._payers.get(account) == payer:
            return
        self._payers[account] = payer
        known = self._budgets.pop(account, None)  # learnt from a status after a start, before any keys were read
        if known is not None and known.closed_until is not None and known.learnt_at is not None:
            self._budgets[payer] = self._budget(payer).closed(known.closed_until, known.learnt_at)

    def _payer_of(self, account: Account | Payer) -> Account | Payer:
        return self.payer(account) if isinstance(account, Account) else account

    def _move_up(self, account: Account | Payer, now: datetime) -> None:
        """Let those begin who may, first come first served; send away whom the account will not have room for."""
        line = self._lines.get(account, deque())
        while line and (line[0].done() or self._budget(account).admits(now)):
            place = line.popleft()
            if not place.done():  # else who stood there has gone
                self._budgets[account] = self._budget(account).begun()
                place.set_result(True)
        while line and self._budget(account).admits(now, LINE) < len(line):
            place = line.pop()
            if not place.done():
                place.set_result(False)
        if not line:
            self._lines.pop(account, None)

    def _left_over(self, account: Account | Payer) -> int:
        """Return how many more of an account the others leave room for; one at least where it has none."""
        has_one = bool(self._budget(account).in_flight or self._standing(account))
        return max(self.most_at_once + LINE if self._in_all < self.most_in_all else 0, int(not has_one))

    def _standing(self, account: Account | Payer) -> int:
        return len(self._lines.get(account, ()))

    def _budget(self, account: Account | Payer) -> Budget:
        return self._budgets.get(account) or Budget(self.most_at_once)

    def _keep(self, account: Account | Payer, budget: Budget, now: datetime) -> None:
        if budget.is_idle(now):
            self._budgets.pop(account, None)
        else:
            self._budgets[account] = budget
