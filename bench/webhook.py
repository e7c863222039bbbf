"""The usual alternative: Argo's own notifications, which send the same PATCH by a webhook when a Rollout is aborted."""

import json
from collections.abc import Mapping

from sandbox.cluster import LocalCluster
from sandbox.datadog import StandIn

CONTROLLER_NAMESPACE = "argo-rollouts"
"""What the controller takes when POD_NAMESPACE is not set and no service account is mounted."""
TRIGGERS = {
    "webhook": "rollout.status.abort == true",
    "webhook-once": "rollout.status.abort == true && rollout.status.abortedAt != nil",
}
"""The first is as quick as can be, and sends twice: before the controller has written abortedAt, and again after.
The second waits for abortedAt, and sends once."""
BODY = json.dumps(
    {
        "data": {
            "type": "dora_deployment_patch_request",
            "attributes": {
                "change_failure": True,
                "service": "{{.rollout.metadata.name}}",
                "env": "prod",
                "version": '{{index .rollout.spec.template.metadata.labels "tags.datadoghq.com/version"}}',
            },
        }
    }
).replace('\\"', '"')
"""A template of Argo's: what stands in braces is filled in by the controller."""


def subscription(trigger: str) -> str:
    """Return the annotation by which a Rollout asks for it."""
    return f"notifications.argoproj.io/subscribe.on-{trigger}.{trigger}"


def subscribe(cluster: LocalCluster, datadogs: Mapping[str, StandIn]) -> None:
    """Configure each trigger, its template and its service, before the controller needs them for the first time."""
    data: dict[str, str] = {}
    for trigger, datadog in datadogs.items():
        data |= _configured(trigger, datadog.url)
    metadata = {"namespace": CONTROLLER_NAMESPACE}
    items = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CONTROLLER_NAMESPACE}},
        {"apiVersion": "v1", "kind": "ConfigMap", "data": data}
        | {"metadata": metadata | {"name": "argo-rollouts-notification-configmap"}},
        {"apiVersion": "v1", "kind": "Secret"} | {"metadata": metadata | {"name": "argo-rollouts-notification-secret"}},
    ]
    cluster.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))


def _configured(trigger: str, url: str) -> dict[str, str]:
    keys = {"Content-Type": "application/json", "DD-API-KEY": "a", "DD-APPLICATION-KEY": "b"}
    service = {"url": url, "headers": [{"name": name, "value": value} for name, value in keys.items()]}
    sent = {"method": "PATCH", "path": "/api/v2/dora/deployments", "body": BODY}
    condition = {"when": TRIGGERS[trigger], "oncePer": "rollout.status.abortedAt", "send": [trigger]}
    return {
        f"service.webhook.{trigger}": json.dumps(service),
        f"template.{trigger}": json.dumps({"webhook": {trigger: sent}}),
        f"trigger.on-{trigger}": json.dumps([condition]),
    }
