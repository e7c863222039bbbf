"""The probes: what is asked, what is assumed, and what to change where the answer says otherwise."""

from collections.abc import Mapping
from http import HTTPStatus

from kubectl_dora.probe import predicates as is_
from kubectl_dora.probe import requests as ask
from kubectl_dora.probe.model import Probe

OK, ACCEPTED = is_.has_status(HTTPStatus.OK), is_.has_status(HTTPStatus.ACCEPTED)
TAKEN = is_.has_status(HTTPStatus.OK, HTTPStatus.ACCEPTED)
REPORT = "report it as a defect"
PAGES_LOSE = f"{REPORT}: with more than 1,000 deployments in 30 days, some would count as missing"
NO_EVENTS = "keep DORA_OPERATOR_ON_MISSING=Wait"

# fmt: off
READS = (
    Probe("read-permission", lambda scope: ask.list_deployments(scope, limit=1), OK,
          "these keys may read deployments",
          "give the application key, and its owner, dora_metrics_read; until then Verified says ReadForbidden"),
    Probe("list-query", ask.list_deployments, is_.of_list(is_.only_asked_for),
          'a list takes service:"…" env:"…" and returns these deployments alone, up to 1,000 at once',
          f"{REPORT}; until then name deployments by id"),
    Probe("list-order", ask.list_deployments, is_.of_list(is_.newest_first),
          "a list with sort: -started_at begins with the newest deployment",
          PAGES_LOSE),
    Probe("list-paging", ask.list_of_last_page, is_.of_list(is_.has_oldest),
          "a list whose `to` is the start of the oldest known deployment contains that deployment",
          PAGES_LOSE, needs_deployment=True),
    Probe("list-has-marks", ask.list_deployments, is_.of_list(is_.has_marks),
          "the list shows change_failure, which the published schema does not have",
          "Verified will say FieldsNotReturned: compare marks in Datadog, or set DORA_OPERATOR_READ_BACK=false"),
    Probe("list-null", ask.list_deployments, is_.of_list(is_.has_nulls),
          "change_failure is null until Datadog has evaluated a deployment",
          "nothing: no answer can contradict it"),
    Probe("recovery-time", ask.list_deployments, is_.of_list(is_.recovery_times),
          "recovery_time_sec is the finish of the remediation minus the finish of the failed deployment",
          f"set DORA_OPERATOR_ABORT_RECOVERY=None, and {REPORT}: RecoveryNegative compares other times"),
    Probe("one-source", ask.list_deployments, is_.of_list(is_.one_source),
          "all deployments of the service come from one source",
          f"select one source of deployments in Datadog's DORA settings; {NO_EVENTS} until then"),
    Probe("versions-once", ask.list_deployments, is_.of_list(is_.versions_once),
          "each version has one deployment",
          "give every release a version, or name deployments by id: a hand-written mark by version is Ambiguous"),
    Probe("get-by-id", ask.get_newest, is_.of_list(is_.same_id),
          "GET of a known id returns the deployment",
          "name deployments by service, env and version: resources by id would show DeploymentMissing",
          needs_deployment=True),
    Probe("get-has-mark", ask.get_newest, is_.of_list(is_.has_marks),
          "GET shows change_failure, too",
          "resources by id show FieldsNotReturned at their first read, until the list serves them",
          needs_deployment=True),
    Probe("get-unknown", ask.get_unknown, is_.has_status(HTTPStatus.NOT_FOUND),
          "GET of an unknown id is answered 404",
          f"a mistaken id shows ReadUnavailable: check ids by hand, and {REPORT}"),
)
"""In this order; none of them changes anything."""
WRITES = (
    Probe("write-permission", ask.mark_unknown_version, ACCEPTED,
          "PATCH of a version that Datadog does not have is answered 202, and marks nothing",
          "on 401, 403, give the key dora_metrics_write; on 404, resources show DeploymentNotFound: nothing to change"),
    Probe("patch-unknown-id", ask.mark_unknown_id, ACCEPTED,
          "PATCH of an id that Datadog does not have is answered 202, and marks nothing",
          "on 404, resources show DeploymentNotFound: nothing to change"),
    Probe("post-first", ask.post(1), TAKEN,
          "a deployment event may have an id of its own and lie 20 minutes back",
          NO_EVENTS),
    Probe("post-second", ask.post(2), TAKEN,
          "a second version of the service, ten minutes later, is a deployment of its own",
          NO_EVENTS),
    Probe("early-mark", ask.mark_second(True), ACCEPTED,
          "a mark that follows its event at once is answered 202",
          NO_EVENTS),
    Probe("visible", ask.list_deployments, is_.of_event(2, is_.is_listed),
          "a posted deployment is in the list within 15 minutes",
          f"{NO_EVENTS}: deployments arrive later than Create waits", polled=True),
    Probe("early-mark-kept", ask.list_deployments, is_.of_event(2, is_.is_marked(True)),
          "a mark that came before its deployment was visible is applied",
          "keep DORA_OPERATOR_READ_BACK=true: such a mark is lost, and sent again after the second to the fourth read"),
    Probe("mark", ask.mark_second(True), ACCEPTED,
          "PATCH by id of a visible deployment is answered 202",
          f"read Datadog's words; {REPORT}"),
    Probe("mark-stored", ask.list_deployments, is_.of_event(2, is_.is_marked(True)),
          "the list shows the mark soon after the 202, before the first number of DORA_OPERATOR_READ_BACK_SCHEDULE",
          "make the numbers of DORA_OPERATOR_READ_BACK_SCHEDULE larger: marks are shown later than the probe waited",
          polled=True),
    Probe("link-by-version", ask.link_by_version, ACCEPTED,
          "PATCH by version with a remediation by version is answered 202",
          "name deployments and remediations by id"),
    Probe("link-stored", ask.list_deployments, is_.of_event(1, is_.linked_to_second),
          "a remediation by version is shown as the id of its deployment",
          "name remediations by id; Verified has the reason NotApplied or none for those by version", polled=True),
    Probe("link-to-earlier", ask.link_to_earlier, ACCEPTED,
          "a remediation that finished before the failure is answered 202",
          "nothing: Datadog refuses such a link by itself"),
    Probe("negative-recovery", ask.list_deployments, is_.of_event(2, is_.negative),
          "such a link gives a negative recovery_time_sec",
          "nothing: RecoveryNegative is shown only where the operator does not send the link", polled=True),
    Probe("clear", ask.mark_second(False), ACCEPTED,
          "change_failure: false takes a mark back",
          "set DORA_OPERATOR_RETRY_SUCCESS=Keep"),
    Probe("clear-stored", ask.list_deployments, is_.of_event(2, is_.is_marked(False)),
          "the list shows that the mark is taken back",
          "set DORA_OPERATOR_RETRY_SUCCESS=Keep, and take marks back in Datadog", polled=True),
    Probe("post-again", ask.post(2), is_.has_status(HTTPStatus.OK, HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT),
          "the same event with the same id may be posted again",
          NO_EVENTS),
    Probe("posted-once", ask.list_deployments, is_.of_list(is_.once),
          "an event that was posted twice is one deployment",
          NO_EVENTS),
)
"""In this order: they make two deployments in the service and env, and mark them."""
CLEANUP = (
    Probe("delete-first", ask.delete(1), ACCEPTED,
          "DELETE of a deployment is answered 202; if the list never showed it, delete it in Datadog when it appears",
          "delete it in Datadog: the output begins with its id"),
    Probe("delete-second", ask.delete(2), ACCEPTED,
          "DELETE of the other one, too",
          "delete it in Datadog: the output begins with its id"),
)
"""Sent at the end, whatever happened before."""
# fmt: on
GROUPS: Mapping[str, tuple[Probe, ...]] = {"reads": READS, "writes": WRITES, "deletes": CLEANUP}
