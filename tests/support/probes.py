"""Asking a probe."""

import urllib.error
import urllib.request
from http import HTTPStatus


def answers(url: str) -> bool:
    """Tell whether a probe answers 200."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return bool(response.status == HTTPStatus.OK)
    except (OSError, urllib.error.URLError):
        return False
