"""The keys of Datadog accounts: the operator's own, and those in Secrets that resources name.

Keys are read for each request, so changed ones count at once: those of a Secret with plain `get`, the operator's own
from the files of a mounted Secret. While a resource waits for better keys, its Secret or these files are polled. The
operator needs no permission to list or watch Secrets, and reads no other Secret.
"""

import asyncio
import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path

from dora_operator.clients.datadog import Keys
from dora_operator.clients.errors import ForbiddenError, KubernetesError, NotFoundError
from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.reasons import Reason
from dora_operator.settings import Settings
from dora_operator.store import DeploymentStore

logger = logging.getLogger(__name__)

API_KEY = "api-key"
APP_KEY = "app-key"
MAX_KEY = 256
OWN_KEYS_AGE = timedelta(seconds=1)
POLL_SECONDS = timedelta(seconds=2)
MAX_POLL_BACKOFF = timedelta(seconds=30)
MAX_POLLS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class NoKeys:
    """Why there are no usable keys."""

    reason: Reason
    message: str


def own_keys_of(settings: Settings) -> Callable[[], Keys | NoKeys]:
    """Return what reads the operator's own keys: from files, which may change, or as they were set."""
    if settings.keys_dir is not None:
        return partial(keys_in, settings.keys_dir)
    api_key, app_key = settings.api_key, settings.app_key
    keys = own_keys(
        api_key.get_secret_value() if api_key is not None else None,
        app_key.get_secret_value() if app_key is not None else None,
    )
    return lambda: keys


def own_keys(api_key: str | None, app_key: str | None) -> Keys | NoKeys:
    if api_key is None or app_key is None:
        message = (
            "the operator has no DD_API_KEY and DD_APP_KEY: set both, or name a Secret in spec.credentialsSecretRef"
        )
        return NoKeys(Reason.CREDENTIALS_NOT_FOUND, message)
    keys = Keys(api_key.strip(), app_key.strip())
    if _is_usable(keys.api_key) and _is_usable(keys.app_key):
        return keys
    message = (
        f"the operator's DD_API_KEY or DD_APP_KEY is unusable: each needs 1 to {MAX_KEY} printable ASCII characters"
    )
    return NoKeys(Reason.CREDENTIALS_INVALID, message)


def keys_in(directory: Path) -> Keys | NoKeys:
    """Return the keys of the operator's own account from the two files of a mounted Secret, as they are now."""
    values: list[str] = []
    for name in (API_KEY, APP_KEY):
        try:
            value = (directory / name).read_bytes().decode("ascii", "replace").strip()
        except OSError as error:
            message = (
                f"the operator cannot read its own {name} in {directory} ({error.strerror}): create the Secret that is"
                " mounted there, or name a Secret in spec.credentialsSecretRef"
            )
            return NoKeys(Reason.CREDENTIALS_NOT_FOUND, message)
        if not _is_usable(value):
            message = (
                f"the operator's own {name} in {directory} is unusable: set 1 to {MAX_KEY} printable ASCII"
                " characters in the Secret that is mounted there"
            )
            return NoKeys(Reason.CREDENTIALS_INVALID, message)
        values.append(value)
    return Keys(*values)


def keys_of(secret_name: str, data: Mapping[str, str]) -> Keys | NoKeys:
    """Return the keys in a Secret's base64 data. Blanks and line ends around them are dropped."""
    values: dict[str, str] = {}
    for name in (API_KEY, APP_KEY):
        if name not in data:
            return NoKeys(Reason.CREDENTIALS_INVALID, f"Secret {secret_name} lacks the key {name}: add it")
        value = _decoded(data[name])
        if value is None:
            message = f"Secret {secret_name} has an unusable {name}: set 1 to {MAX_KEY} printable ASCII characters"
            return NoKeys(Reason.CREDENTIALS_INVALID, message)
        values[name] = value
    return Keys(values[API_KEY], values[APP_KEY])


def _is_usable(value: str) -> bool:
    return 0 < len(value) <= MAX_KEY and value.isascii() and value.isprintable() and " " not in value


def _decoded(encoded: str) -> str | None:
    try:
        value = base64.b64decode(encoded, validate=True).decode("ascii").strip()
    except (binascii.Error, ValueError):
        return None
    return value if _is_usable(value) else None


@dataclass(slots=True)
class CredentialStore:
    """Reads keys, and polls those that resources wait for. No Secret's key (None) means the operator's own keys."""

    client: KubernetesClient
    store: DeploymentStore
    read_own: Callable[[], Keys | NoKeys] = field(repr=False)
    clock: Callable[[], datetime]
    _own: Keys | NoKeys | None = field(default=None, repr=False)
    _own_until: datetime | None = None
    _polls: dict[ObjectKey | None, tuple[datetime, timedelta]] = field(default_factory=dict)
    """When awaited keys are read next, and the backoff after that."""

    @property
    def own(self) -> Keys | NoKeys:
        """The operator's own keys, at most a second old."""
        now = self.clock()
        if self._own is None or self._own_until is None or not now < self._own_until <= now + OWN_KEYS_AGE:
            keys = self.read_own()
            if self._own not in (None, keys):
                logger.info("the operator's own keys have changed")
            self._own, self._own_until = keys, now + OWN_KEYS_AGE
        return self._own

    async def read(self, secret: ObjectKey | None) -> Keys | NoKeys:
        """Return the keys of a Secret, or the operator's own.

        Raises:
            KubernetesError: the Secret could not be read this time.
        """
        if secret is None:
            return self.own
        try:
            found = await self.client.read_secret(secret)
        except NotFoundError:
            message = (
                f"Secret {secret.name} does not exist in namespace {secret.namespace}:"
                f" create it with the keys {API_KEY} and {APP_KEY}"
            )
            return NoKeys(Reason.CREDENTIALS_NOT_FOUND, message)
        except ForbiddenError:
            message = (
                f"the operator may not read Secret {secret.name} in namespace {secret.namespace}: add"
                f" {secret.namespace} to the chart value credentials.fromNamespaces, or grant it `get` on this Secret"
            )
            return NoKeys(Reason.CREDENTIALS_NOT_READABLE, message)
        return keys_of(secret.name, found.data)

    def await_change(self, key: ObjectKey, secret: ObjectKey | None, keys: Keys | NoKeys | None) -> None:
        """Note that these keys of an account did not help a resource. None: it is not known which did not."""
        entry = self.store.entry(key)
        if entry is not None and not (keys is None and entry.awaits_keys and entry.awaited_secret == secret):
            entry.awaits_keys, entry.awaited_secret = True, secret
            entry.awaited_version = None if keys is None else hash(keys)

    async def poll(self) -> list[ObjectKey]:
        """Read the awaited keys that are due. Return the resources to reconcile because theirs have changed."""
        now = self.clock()
        awaited = {entry.awaited_secret for _, entry in self.store.entries() if entry.awaits_keys}
        self._polls = {secret: self._polls.get(secret, (now, POLL_SECONDS)) for secret in awaited}
        due = [secret for secret, (at, _) in self._polls.items() if at <= now]
        free = asyncio.Semaphore(MAX_POLLS_AT_ONCE)
        changed = await asyncio.gather(*(self._poll(secret, free) for secret in due))
        return [key for keys in changed for key in keys]

    async def _poll(self, secret: ObjectKey | None, free: asyncio.Semaphore) -> list[ObjectKey]:
        backoff = self._polls[secret][1]
        self._polls[secret] = (self.clock() + backoff, min(2 * backoff, MAX_POLL_BACKOFF))
        try:
            async with free:
                version = hash(await self.read(secret))
        except KubernetesError as error:
            logger.debug("Secret %s was not read: %s", secret, error)
            return []
        changed = []
        for key, entry in self.store.entries():
            if entry.awaits_keys and entry.awaited_secret == secret and entry.awaited_version != version:
                entry.awaits_keys, entry.keys_changed = False, True
                changed.append(key)
        return changed
