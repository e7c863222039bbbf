"""What the model keeps of what it receives: late ingestion, lost marks, evaluation, APM, edits, recovery."""

import ast
import random
from pathlib import Path
from typing import Any

import pytest

from sandbox.datadog.behaviour import ApmRows, EarlyMark, RemediationVersion, UnknownDeployment
from sandbox.datadog.model import Listing, Model
from sandbox.datadog.query import parse_query
from sandbox.datadog.values import Mark, Marker, Remediation
from tests.standin.modelled import FAILED, KEY, START, event, failures, model, rolled_back

PURE = ("behaviour", "model", "moments", "query", "stream", "values")
HERE = Path(__file__).parent


@pytest.mark.parametrize("name", PURE)
def test_the_model_is_pure(name: str) -> None:
    """No module of the model knows HTTP, a clock, a thread or the environment."""
    tree = ast.parse((HERE.parents[1] / "sandbox" / "datadog" / f"{name}.py").read_text())
    found = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    found |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    own = {module for module in found if module.startswith("sandbox")}
    assert own <= {f"sandbox.datadog.{one}" for one in PURE}
    assert not found & {"aiohttp", "asyncio", "http", "os", "random", "threading", "time", "urllib", "uuid"}


@pytest.mark.parametrize("by", ["id", "version"])
@pytest.mark.parametrize(
    ("early", "failed", "lost"),
    [pytest.param(EarlyMark.LOST, None, 1, id="lost"), pytest.param(EarlyMark.APPLIED_LATER, True, 0, id="kept")],
)
def test_a_mark_before_ingestion(by: str, early: EarlyMark, failed: bool | None, lost: int) -> None:  # noqa: FBT001
    """It is answered 202 all the same; a setting says whether it is lost or applied when the deployment is visible."""
    datadog = model(ingest_delay=120, early_mark=early)
    deployment_id = datadog.post(event("2"), START)
    now = START + 60
    assert datadog.patch(deployment_id, FAILED, now) if by == "id" else datadog.patch_version(KEY, FAILED, now)
    assert datadog.get(deployment_id, START + 119) is None
    shown = datadog.get(deployment_id, START + 120)
    assert (shown and shown.shown_failure, datadog.lost_marks) == (failed, lost)


def test_a_deployment_that_never_comes() -> None:
    """A mark by id or by version of a deployment that does not exist is answered 202 and lost."""
    datadog = model()
    assert datadog.patch("nobody-sent-this", FAILED, START)
    assert datadog.patch_version(KEY, FAILED, START)
    assert (datadog.visible(START + 1), datadog.lost_marks) == ((), 2)
    strict = model(unknown_deployment=UnknownDeployment.NOT_FOUND)
    assert not strict.patch("nobody-sent-this", FAILED, START)
    assert not strict.patch_version(KEY, FAILED, START)
    assert not strict.delete("nobody-sent-this", START)


@pytest.mark.parametrize(
    ("delays", "visible"),
    [
        pytest.param({"ingest_delay": 120}, [False, True], id="as a posted one"),
        pytest.param({"ingest_delay": 120, "apm_delay": 600}, [False, False], id="with a delay of its own"),
        pytest.param({"ingest_delay": 120, "apm_delay": 0}, [True, True], id="at once"),
    ],
)
def test_apm_is_late(delays: dict[str, Any], visible: list[bool]) -> None:
    """A deployment that APM found is visible after the delay of APM, else after the one of ingestion."""
    datadog = model(**delays)
    found = datadog.apm(event("2"), START)
    assert [datadog.get(found, START + after) is not None for after in (119, 120)] == visible


@pytest.mark.parametrize(
    ("rows", "count"), [pytest.param(ApmRows.ONE_PER_VERSION, 3, id="one"), pytest.param(ApmRows.EACH, 4, id="each")]
)
def test_rows_of_apm(rows: ApmRows, count: int) -> None:
    """A version that is deployed again has the row that it had, or another one."""
    datadog = model(apm_rows=rows)
    ids = [datadog.apm(event("1", after), START + after) for after in (0, 60)]
    ids += [datadog.apm(event("1", env="staging"), START), datadog.apm(event("2", 90), START + 90)]
    shown = datadog.visible(START + 99)
    assert {one.id for one in shown} == set(ids)
    assert (len(shown), {one.source for one in shown}) == (count, {"apm_deployments"})
    assert all(len(one) == 11 and set(one) <= set(ALPHABET) for one in ids)


ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def test_a_row_of_apm_that_was_deleted_comes_again() -> None:
    """After a deletion the version has no row, so APM makes another one."""
    datadog = model()
    first = datadog.apm(event("1"), START)
    assert datadog.delete(first, START)
    assert datadog.apm(event("1", 60), START + 60) != first


def test_a_seed_has_its_own_delay() -> None:
    """One deployment may come later than the settings say."""
    datadog = model()
    datadog.seed(event("1", id="late"), START, delay=30)
    assert [datadog.get("late", START + after) is not None for after in (29, 30)] == [False, True]


@pytest.mark.parametrize(
    ("marks_first", "marked"),
    [
        pytest.param(True, [True, True], id="a mark is shown before the evaluation"),
        pytest.param(False, [None, True], id="nothing is shown before the evaluation"),
    ],
)
def test_the_evaluation_is_late(marks_first: bool, marked: list[bool | None]) -> None:  # noqa: FBT001
    """Until the evaluation change_failure is null; a setting says whether that hides a mark."""
    datadog = model(ingest_delay=10, evaluation_delay=50, marks_before_evaluation=marks_first)
    for name in ("unmarked", "marked"):
        datadog.post(event(name, id=name), START)
        datadog.seed(event(name, id=f"seeded-{name}"), START, delay=10)
    for name in ("marked", "seeded-marked"):
        datadog.patch(name, FAILED, START + 20)
    for after, expected in ((59, [None, marked[0]]), (60, [False, marked[1]])):
        for start in ("", "seeded-"):
            found = [datadog.get(start + name, START + after) for name in ("unmarked", "marked")]
            assert [one and one.shown_failure for one in found] == expected


def test_the_same_id_again() -> None:
    """A POST with an id that exists keeps one deployment and its mark, and shows the event that was sent last."""
    datadog = model(detection=False)
    datadog.post(event("2", id="own-id"), START)
    datadog.patch("own-id", FAILED, START)
    assert datadog.post(event("2", id="own-id"), START + 1) == "own-id"
    datadog.post(event("3", 30, id="own-id"), START + 2)
    (shown,) = datadog.visible(START + 2)
    assert (shown.event.version, shown.shown_failure) == ("3", True)
    assert (datadog.newest(("checkout", "prod", "2")), datadog.newest(("checkout", "prod", "3"))) == (None, shown)


def test_the_same_event_again_is_not_detected_again() -> None:
    """A repeated POST, byte for byte, does not undo what was marked after the first one."""
    datadog = model()
    for number, version in enumerate(("1", "2", "1")):
        datadog.post(event(version, number * 100, id=f"deploy-{number}"), START + number * 100)
    assert failures(datadog) == {"deploy-1": "deploy-2"}
    datadog.patch("deploy-1", Mark(change_failure=False), START + 300)
    datadog.post(event("1", 200, id="deploy-2"), START + 400)
    assert failures(datadog) == {}


def test_two_deployments_in_one_second() -> None:
    """Datadog's documentation rules them out; the model keeps both, in the order of ingestion."""
    datadog = model()
    for name in ("first", "second"):
        datadog.post(event(name, id=name), START)
    assert [one.id for one in datadog.visible(START)] == ["first", "second"]


def test_an_edit_in_the_ui() -> None:
    """It takes effect at once, leaves what it does not name, and None clears."""
    datadog = model(patch_delay=60, ingest_delay=5)
    datadog.post(event("2", id="own-id"), START)
    assert not datadog.edit("own-id", START + 4, change_failure=True)
    assert datadog.edit("own-id", START + 5, change_failure=True, remediation=Remediation(id="x", type="rollback"))
    assert failures(datadog, START + 5) == {"own-id": "x"}
    assert datadog.edit("own-id", START + 6, remediation=None)
    assert failures(datadog, START + 6) == {"own-id": None}
    assert datadog.edit("own-id", START + 7, change_failure=None)
    shown = datadog.get("own-id", START + 7)
    assert shown is not None
    assert (shown.shown_failure, shown.failure_set_by, shown.remediation_set_by) == (None, Marker.EDIT, Marker.EDIT)


@pytest.mark.parametrize(
    ("choice", "patched_at", "linked", "recovery"),
    [
        pytest.param(RemediationVersion.AT_MARK, 150, "old", -100, id="bound to what is there at the mark"),
        pytest.param(RemediationVersion.AT_MARK, 250, "new", 100, id="bound to the new one once it is there"),
        pytest.param(RemediationVersion.LATEST, 150, "new", 100, id="resolved at the read"),
    ],
)
def test_a_remediation_by_version(choice: RemediationVersion, patched_at: float, linked: str, recovery: int) -> None:
    """A version that was deployed twice: too early a link means the deployment before the failure."""
    datadog = model(remediation_version=choice, detection=False)
    datadog.post(event("1", 0, id="old"), START)
    datadog.post(event("2", 100, id="failed"), START + 100)
    datadog.seed(event("1", 200, id="new"), START + 100, delay=100)
    datadog.patch("failed", rolled_back(version="1"), START + patched_at)
    shown = datadog.get("failed", START + 300)
    assert shown is not None
    remedy = datadog.remedy(shown)
    assert (remedy and remedy.id, datadog.recovery_seconds(shown)) == (linked, recovery)


def test_a_negative_recovery_can_be_left_out() -> None:
    """What Datadog makes of it is not documented: the formula, or nothing."""
    shown = []
    for negative in (True, False):
        datadog = model(negative_recovery=negative)
        datadog.post(event("1", 0, id="old"), START)
        datadog.post(event("2", 100, id="failed"), START)
        datadog.patch("failed", rolled_back(id="old"), START)
        failed = datadog.get("failed", START)
        shown.append(failed and datadog.recovery_seconds(failed))
    assert shown == [-100, None]


def test_a_link_to_a_version_that_is_not_there() -> None:
    """Nothing is linked, neither then nor when the version comes; a link by id waits for its deployment."""
    datadog = model(detection=False)
    for name in ("by-version", "by-id"):
        datadog.post(event("2", id=name), START)
    datadog.patch("by-version", rolled_back(version="3"), START)
    datadog.patch("by-id", rolled_back(id="fix"), START)
    datadog.post(event("3", 90, id="fix"), START + 90)
    found = [datadog.get(name, START + 90) for name in ("by-version", "by-id")]
    assert [one and datadog.recovery_seconds(one) for one in found] == [None, 90]


def test_a_list_narrows_to_one_service_and_env() -> None:
    """With and without a narrow query, sorted both ways, the list is the same as a search through everything."""
    datadog, numbers = model(detection=False), random.Random(1)
    for number in range(300):
        service, env = numbers.choice("ab"), numbers.choice(["prod", "staging", None])
        finished = numbers.randrange(100)
        datadog.post(event("1", finished, id=f"d{number}", service=service, env=env), START)
    everything = datadog.visible(START)
    for sort in ("started_at", "-started_at", "finished_at", "-finished_at"):
        for query in ('service:"a" env:"prod"', 'service:"a" env:"prod" version:1', "service:b", ""):
            asked = Listing(START - 40, START, 50, parse_query(query), sort)
            matching = [
                one
                for one in everything
                if START - 40 <= one.event.started_at <= START
                and ("a" not in query or (one.event.service, one.event.env) == ("a", "prod"))
                and (query != "service:b" or one.event.service == "b")
            ]
            moment = sort.removeprefix("-")
            matching.sort(key=lambda one: (getattr(one.event, moment), one.sequence), reverse=sort[0] == "-")
            assert datadog.select(asked, START) == matching[:50]


def lived(seed: int) -> tuple[list[Any], int]:
    """Return all that is left of a busy life that only a seed decides."""
    numbers = random.Random(seed)
    datadog = model(ingest_delay=120, evaluation_delay=600, detection_delay=30, apm_rows=ApmRows.EACH)
    for number in range(3000):
        now = START + number * 20
        posted = event(str(numbers.randrange(9)), number * 20, service=f"s{number % 7}")
        (datadog.apm if number % 2 else datadog.post)(posted, now)
        datadog.patch_version(posted.key, rolled_back(version=str(numbers.randrange(9))), now)
    shown = datadog.visible(START + 1e6)
    return [(one.id, one.shown_failure, one.remediation, datadog.recovery_seconds(one)) for one in shown], (
        datadog.lost_marks
    )


def test_the_same_calls_give_the_same_result() -> None:
    """Nothing depends on chance or a clock: ids, marks and links are the same in each run."""
    once, again = lived(1), lived(1)
    assert once == again
    assert len(once[0]) == 3000
    assert lived(2) != once


def test_memory_is_bounded() -> None:
    """The oldest deployments are forgotten, everywhere."""
    datadog: Model = model(kept_deployments=2)
    for number in range(4):
        datadog.post(event(str(number), number, id=f"d{number}"), START)
    assert [one.id for one in datadog.visible(START)] == ["d2", "d3"]
    assert [one.id for one in datadog.select(Listing(sort="started_at"), START)] == ["d2", "d3"]
