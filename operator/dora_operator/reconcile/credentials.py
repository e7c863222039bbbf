"""The keys of Datadog accounts: the operator's own, and those in Secrets that resources name.

Keys are read for each request, so changed ones count at once: those of a Secret with plain `get`, the operator's own
from the files of a mounted Secret. While a resource waits for better keys, its Secret or these files are polled. The
operator needs no permission to list or watch Secrets, and reads no other Secret.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dora_operator.clients.datadog import Keys
from dora_operator.clients.errors import ForbiddenError, KubernetesError, NotFoundError
from dora_operator.clients.kubernetes import KubernetesClient
from dora_operator.domain.fields import ObjectKey
from dora_operator.domain.reasons import Reason
from dora_operator.settings import Settings

logger = logging.getLogger(__name__)

API_KEY = "api-key"
APP_KEY = "app-key"
LONGEST_KEY = 256


@dataclass(frozen=True, slots=True)
class NoKeys:
    """Why there are no usable keys."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """The keys of an account, or why there are none, and the version of where they come from."""

    keys: Keys | NoKeys
    version: str = ""


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
    """Return the keys of the operator's own account."""
    if api_key is None or app_key is None:
        message = (
            "the operator has no DD_API_KEY and DD_APP_KEY: set both, or name a Secret in spec.credentialsSecretRef"
        )
        return NoKeys(Reason.CREDENTIALS_NOT_FOUND, message)
    keys = Keys(api_key.strip(), app_key.strip())
    if _is_usable(keys.api_key) and _is_usable(keys.app_key):
        return keys
    message = (
        f"the operator's DD_API_KEY or DD_APP_KEY is unusable: each needs 1 to {LONGEST_KEY} printable ASCII characters"
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
                f"the operator's own {name} in {directory} is unusable: set 1 to {LONGEST_KEY} printable ASCII"
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
            message = f"Secret {secret_name} has an unusable {name}: set 1 to {LONGEST_KEY} printable ASCII characters"
            return NoKeys(Reason.CREDENTIALS_INVALID, message)
        values[name] = value
    return Keys(values[API_KEY], values[APP_KEY])


def _is_usable(value: str) -> bool:
    """Return whether a key can be an HTTP header."""
    return 0 < len(value) <= LONGEST_KEY and value.isascii() and value.isprintable() and " " not in value


def _decoded(encoded: str) -> str | None:
    try:
        value = base64.b64decode(encoded, validate=True).decode("ascii").strip()
    except (binascii.Error, ValueError):
        return None
    return value if _is_usable(value) else None


@dataclass(slots=True)
class _Awaited:
    """Keys that did not help, and the resources that wait for another version of them."""

    version: str | None
    waiting: set[ObjectKey] = field(default_factory=set)


@dataclass(slots=True)
class CredentialStore:
    """Reads keys, and polls those that resources wait for. No Secret's key (None) means the operator's own keys."""

    client: KubernetesClient
    read_own: Callable[[], Keys | NoKeys] = field(repr=False)
    _own: Keys | NoKeys | None = field(default=None, repr=False)
    _own_version: int = 0
    """How often the operator's own keys have changed."""
    _awaited: dict[ObjectKey | None, _Awaited] = field(default_factory=dict)
    _changed_for: set[ObjectKey] = field(default_factory=set)

    @property
    def own(self) -> Keys | NoKeys:
        """The operator's own keys as they are now."""
        keys = self.read_own()
        if keys != self._own:
            if self._own is not None:
                logger.info("the operator's own keys have changed")
            self._own, self._own_version = keys, self._own_version + 1
        return keys

    async def read(self, secret: ObjectKey | None) -> Credentials:
        """Return the keys of a Secret, or the operator's own.

        Raises:
            KubernetesError: the Secret could not be read this time.
        """
        if secret is None:
            return Credentials(self.own, str(self._own_version))
        try:
            found = await self.client.read_secret(secret)
        except NotFoundError:
            message = (
                f"Secret {secret.name} does not exist in namespace {secret.namespace}:"
                f" create it with the keys {API_KEY} and {APP_KEY}"
            )
            return Credentials(NoKeys(Reason.CREDENTIALS_NOT_FOUND, message))
        except ForbiddenError:
            message = (
                f"the operator may not read Secret {secret.name} in namespace {secret.namespace}: add"
                f" {secret.namespace} to the chart value credentials.fromNamespaces, or grant it `get` on this Secret"
            )
            return Credentials(NoKeys(Reason.CREDENTIALS_NOT_READABLE, message))
        return Credentials(keys_of(secret.name, found.data), found.resource_version)

    def wait_for_change(self, secret: ObjectKey | None, version: str | None, key: ObjectKey) -> None:
        """Note that this version of an account's keys did not help a resource. None: the version is not known."""
        awaited = self._awaited.get(secret)
        if awaited is None or (version is not None and version != awaited.version):
            awaited = self._awaited[secret] = _Awaited(version, awaited.waiting if awaited else set())
        awaited.waiting.add(key)

    def take_change(self, key: ObjectKey) -> bool:
        """Return, once, whether the keys that a resource waited for have changed."""
        if key not in self._changed_for:
            return False
        self._changed_for.discard(key)
        return True

    def forget(self, key: ObjectKey) -> None:
        """Drop a resource that waits no longer."""
        self._changed_for.discard(key)
        for secret in [secret for secret, awaited in self._awaited.items() if key in awaited.waiting]:
            self._awaited[secret].waiting.discard(key)
            if not self._awaited[secret].waiting:
                del self._awaited[secret]

    async def poll(self) -> set[ObjectKey]:
        """Read all awaited keys once. Return the resources to reconcile because theirs have changed."""
        changed: set[ObjectKey] = set()
        for secret, awaited in list(self._awaited.items()):
            try:
                version = (await self.read(secret)).version
            except KubernetesError as error:
                logger.debug("Secret %s was not read: %s", secret, error)
                continue
            if version != awaited.version and self._awaited.get(secret) is awaited:
                del self._awaited[secret]
                changed |= awaited.waiting
        self._changed_for |= changed
        return changed
