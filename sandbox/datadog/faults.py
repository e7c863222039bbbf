"""Faults on demand as values: which requests they apply to, how often, and what happens.

Only the rules: `faultbook` reads and counts them, `delivery` does to a connection what they say.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from sandbox.datadog.access import fingerprint
from sandbox.datadog.exchange import Received

DEFAULT_BODY = '{"data":null}'


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")]
HeaderText = Annotated[str, Field(pattern=r"^[^\r\n\x00]*$")]


class Match(_Model):
    """Which requests a rule is for; what is absent matches everything."""

    method: str | None = None
    path_prefix: str | None = None
    path_regex: str | None = Field(default=None, description="found anywhere in the path as it was sent")
    body_contains: str | None = None
    api_key: str | None = Field(default=None, description="fingerprint, as shown in the recorded requests")

    @field_validator("method")
    @classmethod
    def _upper(cls, method: str | None) -> str | None:
        return method and method.upper()

    @field_validator("path_regex")
    @classmethod
    def _compiles(cls, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except re.error as error:
            raise ValueError(f"must be a regular expression: {error}") from None
        return pattern

    def fits(self, request: Received) -> bool:
        """Say whether a request is meant."""
        return (
            self.method in (None, request.method)
            and request.path.startswith(self.path_prefix or "")
            and (self.path_regex is None or re.search(self.path_regex, request.path) is not None)
            and (self.body_contains is None or self.body_contains.encode() in request.body)
            and self.api_key in (None, fingerprint(request.api_key))
        )


class Respond(_Model):
    """A whole answer of the rule's choosing; the rate limit's headers are there unless set to null."""

    kind: Literal["respond"] = "respond"
    status: int = Field(ge=200, le=599)
    body: Any = Field(default="", description="text is sent as it is, anything else as JSON")
    headers: dict[HeaderName, HeaderText | list[HeaderText] | None] = Field(
        default={}, description="a list sends the header several times, null sends none"
    )


class Redirect(_Model):
    """An answer that points elsewhere."""

    kind: Literal["redirect"] = "redirect"
    status: Literal[301, 302, 303, 307, 308] = 307
    location: HeaderText


class Pass(_Model):
    """The genuine answer; of use with a delay."""

    kind: Literal["pass"] = "pass"


class Reset(_Model):
    """The connection is reset instead of an answer; `applied` decides whether the request had its effect."""

    kind: Literal["reset"] = "reset"


class Hang(_Model):
    """No answer, ever."""

    kind: Literal["hang"] = "hang"


class HalfBody(_Model):
    """Content-Length promises more than is sent, then the connection is closed."""

    kind: Literal["half_body"] = "half_body"
    status: int = Field(default=202, ge=200, le=599)
    body: str = DEFAULT_BODY


class Drip(_Model):
    """A good answer, one byte at a time: no single read takes long, the whole does."""

    kind: Literal["drip"] = "drip"
    status: int = Field(default=202, ge=200, le=599)
    body: str = DEFAULT_BODY
    interval: float = Field(default=0.1, gt=0, description="seconds between two bytes")


class Garbage(_Model):
    """Bytes that are no HTTP."""

    kind: Literal["garbage"] = "garbage"
    text: str = "\x16\x03\x01 this is no HTTP\r\n\r\n"


What = Annotated[
    Respond | Redirect | Pass | Reset | Hang | HalfBody | Drip | Garbage,
    Field(discriminator="kind"),
]


KINDS = frozenset({"respond", "redirect", "pass", "reset", "hang", "half_body", "drip", "garbage"})


class Rule(_Model):
    """One fault: what happens to which requests, how many times."""

    match: Match = Match()
    what: What
    skip: int = Field(default=0, ge=0, description="so many matching requests go through first")
    times: int | None = Field(default=None, ge=1, description="absent: for ever")
    delay: float = Field(default=0, ge=0, description="seconds before the answer or the fault")
    applied: bool = Field(default=False, description="true: the request has its effect, only the answer is lost")

    @property
    def takes_effect(self) -> bool:
        """Say whether the request still reaches the API."""
        return self.applied or isinstance(self.what, Pass)
