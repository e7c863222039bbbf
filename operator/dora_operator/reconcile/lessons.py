"""What one answer, or one status after a restart, teaches about others: accounts to leave alone, Secrets to look at."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from dora_operator.domain.backoff import RetryPolicy
from dora_operator.domain.due import believed_next_attempt, reason_of
from dora_operator.domain.object_key import ObjectKey
from dora_operator.domain.observed import DoraDeploymentStatus
from dora_operator.domain.outcome import Outcome, Pace, TryAgain
from dora_operator.domain.reasons import CREDENTIAL_REASONS, Reason
from dora_operator.inventory import Inventory
from dora_operator.reconcile.accounts import Account, Accounts, account_of
from dora_operator.reconcile.secret_watch import SecretWatch
from dora_operator.reconcile.writer import read_status


@dataclass(frozen=True, slots=True)
class Lessons:
    """Draws them."""

    accounts: Accounts
    secrets: SecretWatch
    clock: Callable[[], datetime]
    policy: RetryPolicy

    def from_answer(
        self, key: ObjectKey, account: Account, version: str, outcome: Outcome, after: DoraDeploymentStatus
    ) -> None:
        """Take note of an answer; `version` is that of the Secret with which it was asked for."""
        if not isinstance(outcome, TryAgain):
            self.secrets.forget(key)
        elif outcome.pace is Pace.AT_RESET and after.next_attempt_time is not None:
            self.accounts.close(account, after.next_attempt_time, self.clock())
        elif outcome.reason in CREDENTIAL_REASONS:
            self.wait_for_secret(key, account, version)

    def from_status(self, key: ObjectKey, status: DoraDeploymentStatus, account: Account) -> None:
        """Take note of what was only in memory before a restart."""
        now, reason = self.clock(), reason_of(status)
        until = believed_next_attempt(status, now, self.policy)
        if until is None:
            return
        if reason == Reason.RATE_LIMITED:
            self.accounts.close(account, until, now)
        elif reason in CREDENTIAL_REASONS:
            self.wait_for_secret(key, account, None)

    def from_all(self, inventory: Inventory) -> None:
        """After a start, learn which accounts have to be left alone before anything is sent."""
        for known in map(inventory.get, inventory.all_keys()):
            if known is None or Reason.RATE_LIMITED.value.encode() not in known.status_json:
                continue
            status = read_status(known.status_json)
            if status.target is not None:
                self.from_status(known.key, status, account_of(known.key.namespace, status.target))

    def wait_for_secret(self, key: ObjectKey, account: Account, version: str | None) -> None:
        """Look at the account's Secret until it is another than this version."""
        if account.secret is not None:
            self.secrets.wait_for_change(account.secret, version, key)


def is_rate_limited(status: DoraDeploymentStatus) -> bool:
    """Tell whether a status says that its account has to wait."""
    return reason_of(status) == Reason.RATE_LIMITED
