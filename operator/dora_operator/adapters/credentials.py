"""From a Secret's data to usable keys, or to what is wrong with them. Pure; values never show in a message."""

import base64
import binascii
from collections.abc import Mapping

from dora_operator.domain.reasons import Reason
from dora_operator.ports import Keys, NoKeys

API_KEY = "api-key"
APP_KEY = "app-key"
LONGEST_KEY = 256


def keys_of(secret_name: str, data: Mapping[str, str]) -> Keys | NoKeys:
    """Return the keys of a Secret's base64 data; blanks and line ends around them are dropped."""
    values: dict[str, str] = {}
    for field in (API_KEY, APP_KEY):
        if field not in data:
            return NoKeys(Reason.CREDENTIALS_INVALID, f"Secret {secret_name} lacks the key {field}: add it")
        value = _plain(data[field])
        if value is None:
            message = f"Secret {secret_name} has an unusable {field}: 1 to {LONGEST_KEY} printable ASCII characters"
            return NoKeys(Reason.CREDENTIALS_INVALID, message)
        values[field] = value
    return Keys(values[API_KEY], values[APP_KEY])


def usable(value: str) -> bool:
    """Tell whether a key can be an HTTP header."""
    return 0 < len(value) <= LONGEST_KEY and value.isascii() and value.isprintable() and " " not in value


def _plain(encoded: str) -> str | None:
    try:
        value = base64.b64decode(encoded, validate=True).decode("ascii").strip()
    except (binascii.Error, ValueError):
        return None
    return value if usable(value) else None
