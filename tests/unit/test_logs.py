"""Lines of the log: which object they are about, in text and in JSON, and what never stands in them."""

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from dora_operator.domain.fields import ObjectKey
from dora_operator.logs import SILENT_BELOW_WARNING, configure, subject
from dora_operator.metrics import Metrics
from dora_operator.workers import Workers
from dora_operator.workqueue import Priority, Result, WorkQueue
from tests.support.builders import NOW


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = before, level
    for name in ("kopf", *SILENT_BELOW_WARNING):
        logging.getLogger(name).setLevel(logging.NOTSET)


@contextmanager
def reconciling(kind: str, key: ObjectKey) -> Iterator[None]:
    """Log as a reconcile of this object does."""
    token = subject.set((kind, *key))
    yield
    subject.reset(token)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    """Return what was logged as JSON."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Time in UTC, level, logger, message; the object where there is one."""
    configure("INFO", "json")
    with reconciling("DoraDeployment", ObjectKey("shop", "checkout")):
        logging.getLogger("dora_operator.x").warning("sent %d\nlines", 2)
    logging.getLogger("dora_operator.x").info("nothing special")
    inside, outside = lines(capsys)
    time = inside.pop("time")
    assert time[10] == "T"
    assert time.endswith("Z")
    assert inside == {
        "level": "WARNING",
        "logger": "dora_operator.x",
        "message": "sent 2\nlines",
        "kind": "DoraDeployment",
        "namespace": "shop",
        "name": "checkout",
    }
    assert set(outside) == {"time", "level", "logger", "message"}


def test_an_exception_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A traceback is a field, so that a collector keeps it together."""
    configure("INFO", "json")
    try:
        int("a defect")
    except ValueError:
        logging.getLogger("x").exception("it broke")
    (line,) = lines(capsys)
    assert line["message"] == "it broke"
    assert line["exception"].splitlines()[-1].startswith("ValueError: ")


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_hangs_on_a_record_stays_there(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Only named fields are printed: a library may hang anything on a record."""
    configure("DEBUG", form)  # type: ignore[arg-type]
    logging.getLogger("x").info("seen", extra={"headers": "canary", "settings": "canary", "body": {"a": "canary"}})
    assert "canary" not in capsys.readouterr().err


def test_text_names_the_object_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Behind the line, where the message does not name it."""
    configure("INFO", "text")
    with reconciling("Rollout", ObjectKey("shop", "checkout")):
        logging.getLogger("x").info("not posted")
        logging.getLogger("x").info("Rollout shop/checkout: not posted")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("x: not posted [Rollout shop/checkout]")
    assert second.endswith("x: Rollout shop/checkout: not posted")


@pytest.mark.parametrize(("terminal", "is_json"), [(True, False), (False, True)], ids=["a terminal", "no terminal"])
def test_the_form_follows_the_terminal(
    *, terminal: bool, is_json: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text for people, JSON for collectors, where nothing is set."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    configure("INFO")
    logging.getLogger("x").info("said")
    assert capsys.readouterr().err.startswith("{") is is_json


@pytest.mark.parametrize("name", SILENT_BELOW_WARNING)
def test_libraries_that_could_show_keys_are_silent(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Even at DEBUG."""
    configure("DEBUG", "json")
    logging.getLogger(name).info("canary")
    logging.getLogger(f"{name}.inner").debug("canary")
    assert capsys.readouterr().err == ""


async def test_every_line_of_a_reconcile_names_its_object(capsys: pytest.CaptureFixture[str]) -> None:
    """Code that logs during a reconcile need not know the object; lines of two reconciles at once are not mixed up."""
    configure("INFO", "json")

    async def reconcile(key: ObjectKey) -> Result:
        await asyncio.sleep(0)
        logging.getLogger("x").info("deep inside %s", key.name)
        return Result()

    queue: WorkQueue[ObjectKey] = WorkQueue(lambda: 0.0)
    workers = Workers("Rollout", queue, reconcile, 2, lambda: NOW, Metrics())
    for name in ("one", "two"):
        queue.add(ObjectKey("shop", name), Priority.NORMAL)
    await asyncio.gather(workers.serve(await queue.take()), workers.serve(await queue.take()))
    assert [(line["kind"], line["name"], line["message"]) for line in lines(capsys)] == [
        ("Rollout", "one", "deep inside one"),
        ("Rollout", "two", "deep inside two"),
    ]
