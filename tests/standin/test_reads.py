"""GET and list: what is selected, how it is paged, what an item has, and what happens without permission to read."""

from typing import Any

import pytest

from sandbox.datadog import ApmRows, Permission, ReadSchema, fingerprint
from sandbox.datadog.moments import as_text
from sandbox.datadog.values import Event, Git
from tests.standin.clocked import OWN_ID, START, Datadog

READS = [
    pytest.param("GET", f"deployments/{OWN_ID}", None, id="GET"),
    pytest.param(
        "POST", "deployments", {"data": {"type": "dora_deployments_list_request", "attributes": {}}}, id="list"
    ),
]


def filled(count: int, **settings: Any) -> Datadog:
    """Return a Datadog with so many deployments, one a minute, named after their minute."""
    datadog = Datadog(**settings)
    for minute in range(count):
        start = START + minute * 60
        datadog.api.model.seed(Event("checkout", start, start + 30, "prod", str(minute), f"m{minute}"), START)
    return datadog


def test_ten_are_listed_unless_more_are_asked_for() -> None:
    """The newest ten by default, at most a thousand, both ways."""
    datadog = filled(1001)
    assert datadog.listed(0) == [f"m{minute}" for minute in range(1000, 990, -1)]
    assert len(datadog.listed(0, limit=1000)) == 1000
    assert datadog.ask_list(0, limit=1001)[0] == 400
    assert datadog.listed(0, limit=2, sort="finished_at") == ["m0", "m1"]


def test_pages_by_lowering_to() -> None:
    """There is no cursor; `to` is inclusive, so the last item of a page is the first of the next one."""
    datadog = filled(25)
    found, to = [], as_text(START + 3600)
    for _ in range(3):
        page = datadog.ask_list(0, to=to, limit=10, cursor="ignored", page={"offset": 5})[1]["data"]
        found.append([one["id"] for one in page])
        to = page[-1]["attributes"]["started_at"]
    assert [(len(page), page[0], page[-1]) for page in found] == [
        (10, "m24", "m15"),
        (10, "m15", "m6"),
        (7, "m6", "m0"),
    ]


def test_the_span_has_both_ends() -> None:
    """`from` and `to` are for the start of a deployment and belong to the span."""
    datadog = filled(5)
    assert datadog.listed(0, **{"from": as_text(START + 60), "to": as_text(START + 120)}) == ["m2", "m1"]
    assert datadog.listed(0, **{"from": as_text(START + 61), "to": as_text(START + 119)}) == []


@pytest.mark.parametrize("name", ["from", "to"])
@pytest.mark.parametrize(
    ("moment", "exact", "any_form"),
    [
        pytest.param("2027-01-15T08:00:00Z", 200, 200, id="Z and seconds"),
        pytest.param("2027-01-15T08:00:00.000Z", 400, 200, id="milliseconds"),
        pytest.param("2027-01-15T08:00:00+00:00", 400, 200, id="an offset"),
        pytest.param("2027-01-15t08:00:00z", 400, 200, id="small letters"),
        pytest.param("2027-01-15", 400, 400, id="a date"),
        pytest.param("2027-02-30T08:00:00Z", 400, 400, id="a day that does not exist"),
    ],
)
def test_times_in_one_form(name: str, moment: str, exact: int, any_form: int) -> None:
    """Only `...Z` without milliseconds is certain; a setting allows all of RFC 3339."""
    statuses = [Datadog(exact_times=strict).ask_list(0, **{name: moment})[0] for strict in (True, False)]
    assert statuses == [exact, any_form]


def test_a_query_narrows_the_list() -> None:
    """Service and env in quotes, versions apart on the client's side."""
    datadog = Datadog()
    for name, service, env in (("a", "checkout", "prod"), ("b", "checkout", "staging"), ("c", "cart", "prod")):
        datadog.post(0, id=f"deployment-from-{name}", service=service, env=env)
    query = 'service:"checkout" env:"prod"'
    assert datadog.listed(0, query=query) == ["deployment-from-a"]
    assert datadog.listed(0, query=f"{query} NOT source:api") == []
    status, document = datadog.ask_list(0, query="service:a(")
    assert (status, "query" in document["errors"][0]["detail"]) == (400, True)


def test_what_an_item_has() -> None:
    """All attributes that were observed in real lists, for a rollback that was detected."""
    datadog = Datadog(apm_rows=ApmRows.EACH)
    model, git = datadog.api.model, Git("0" * 40, "https://example.com/Shop/checkout.git")
    ids = [
        model.apm(Event("checkout", START + after, START + after + 30, "prod", version, git=commit), START + after + 40)
        for after, version, commit in ((0, "1", None), (100, "2", git), (250, "1", None))
    ]
    listed = {one["id"]: one for one in datadog.ask_list(300)[1]["data"]}
    failed, rollback = listed[ids[1]], listed[ids[2]]
    assert failed == {
        "id": ids[1],
        "type": "dora_deployment",
        "attributes": {
            "service": "checkout",
            "env": "prod",
            "version": "2",
            "started_at": "2027-01-15T08:01:40Z",
            "finished_at": "2027-01-15T08:02:10Z",
            "created_at": "2027-01-15T08:02:20Z",
            "duration": 30,
            "source": "apm_deployments",
            "deployment_type": "standard",
            "git": {"commit_sha": "0" * 40, "repository_id": "example.com/shop/checkout"},
            "change_failure": True,
            "remediation": {"id": ids[2], "type": "rollback"},
            "recovery_time_sec": 150,
        },
    }
    assert (rollback["attributes"]["deployment_type"], rollback["attributes"]["change_failure"]) == ("rollback", None)
    assert not {"remediation", "recovery_time_sec"} & rollback["attributes"].keys()
    assert datadog.ask(300, "GET", f"deployments/{ids[1]}")[1] == {"data": failed}


@pytest.mark.parametrize(
    ("schema", "in_get", "in_list"),
    [
        pytest.param(ReadSchema.OBSERVED, True, True, id="as observed in lists"),
        pytest.param(ReadSchema.OBSERVED_IN_LIST, False, True, id="in lists alone"),
        pytest.param(ReadSchema.PUBLISHED, False, False, id="as published"),
    ],
)
def test_marks_can_be_left_out(schema: ReadSchema, in_get: bool, in_list: bool) -> None:  # noqa: FBT001
    """Where the schema has no change_failure it is absent, not null; and so are remediation and recovery."""
    datadog = Datadog(read_schema=schema)
    datadog.post(0)
    datadog.patch(0, remediation={"id": OWN_ID, "type": "rollback"})
    beyond = {"change_failure", "remediation", "recovery_time_sec", "source"}
    read, (listed,) = datadog.attributes(0), datadog.ask_list(0)[1]["data"]
    assert [beyond & one.keys() for one in (read, listed["attributes"])] == [
        beyond if shown else set() for shown in (in_get, in_list)
    ]
    assert read["version"] == listed["attributes"]["version"] == "1.5.0"


def test_an_unknown_id() -> None:
    """GET of a deployment that is not visible is a 404 with an error object."""
    status, document, _ = Datadog().ask(0, "GET", "deployments/nobody")
    assert (status, document["errors"][0]["status"]) == (404, "404")


@pytest.mark.parametrize(("method", "path", "body"), READS)
def test_permission_to_read(method: str, path: str, body: Any) -> None:
    """Without it GET and list are 403 and say what is missing, while marks are accepted."""
    datadog = Datadog(permissions=[Permission.WRITE])
    datadog.post(0)
    status, document, _ = datadog.ask(0, method, path, body)
    assert (status, document) == (403, {"errors": ["Missing required permission: 'dora_metrics_read'"]})
    assert [datadog.patch(0), datadog.patch_by_version(0)] == [202, 202]


def test_permission_to_write() -> None:
    """Without it PATCH and DELETE are 403 without effect, while reads and a POST, which needs none, are answered."""
    datadog = Datadog(permissions=[Permission.READ])
    assert datadog.post(0) == 200
    assert [datadog.patch(0), datadog.patch_by_version(0)] == [403, 403]
    status, document, _ = datadog.ask(0, "DELETE", f"deployment/{OWN_ID}")
    assert (status, document) == (403, {"errors": ["Missing required permission: 'dora_metrics_write'"]})
    assert datadog.attributes(0)["change_failure"] is None


def test_permissions_of_one_key() -> None:
    """A single application key may have other permissions than the rest."""
    datadog = Datadog(permissions=[], key_permissions={fingerprint("two"): [Permission.READ]})
    datadog.post(0)
    assert [datadog.attributes(0)["version"], datadog.patch(0)] == ["1.5.0", 403]
    datadog = Datadog(key_permissions={fingerprint("two"): []})
    datadog.post(0)
    assert [datadog.attributes(0), datadog.patch(0)] == [None, 403]


def test_a_deletion() -> None:
    """DELETE has the singular path, is answered 202 without a body, and the deployment is gone."""
    datadog = Datadog()
    datadog.post(0)
    assert datadog.ask(0, "DELETE", f"deployments/{OWN_ID}")[0] == 404
    assert datadog.ask(0, "DELETE", f"deployment/{OWN_ID}")[:2] == (202, None)
    assert (datadog.attributes(0), datadog.listed(0)) == (None, [])
