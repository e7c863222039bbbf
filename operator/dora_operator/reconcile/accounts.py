"""Accounts: which keys a resource uses, and until when an account has to be left alone.

An account is a site with the Secret that holds its keys; without a Secret it is the operator's own.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

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


@dataclass(slots=True)
class Accounts:
    """Keys and pauses of all accounts. Keys are read anew for each request: a changed Secret counts at once."""

    cluster: ClusterPort
    own_keys: Keys | NoKeys
    _paused_until: dict[Account, datetime] = field(default_factory=dict)

    async def keys(self, account: Account) -> SecretView:
        """Return the account's keys, or why there are none.

        Raises:
            ClusterUnavailableError: the Secret could not be read this time.
        """
        if account.secret is None:
            return SecretView("", self.own_keys)
        return await self.cluster.read_secret(account.secret)

    def pause(self, account: Account, until: datetime) -> None:
        """Send nothing for this account before `until`."""
        self._paused_until[account] = max(until, self._paused_until.get(account, until))

    def paused_until(self, account: Account, now: datetime) -> datetime | None:
        """Return until when the account has to be left alone, or None."""
        until = self._paused_until.get(account)
        if until is None:
            return None
        if until <= now:
            del self._paused_until[account]
            return None
        return until
