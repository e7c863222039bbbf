"""The usual alternative: Argo's own notifications, which send the same PATCH by a webhook when a Rollout is aborted."""

import json

from sandbox.cluster import LocalCluster

CONTROLLER_NAMESPACE = "argo-rollouts"
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


def subscribe(cluster: LocalCluster, datadog_url: str) -> None:
    """Configure trigger, template and service, before the controller is asked for the first time."""
    data = {
        "service.webhook.datadog": json.dumps(
            {
                "url": datadog_url,
                "headers": [
                    {"name": "Content-Type", "value": "application/json"},
                    {"name": "DD-API-KEY", "value": "a"},
                    {"name": "DD-APPLICATION-KEY", "value": "b"},
                ],
            }
        ),
        "template.abort": json.dumps(
            {"webhook": {"datadog": {"method": "PATCH", "path": "/api/v2/dora/deployments", "body": BODY}}}
        ),
        "trigger.on-abort": json.dumps(
            [{"when": "rollout.status.abort == true", "oncePer": "rollout.status.abortedAt", "send": ["abort"]}]
        ),
    }
    metadata = {"namespace": CONTROLLER_NAMESPACE}
    items = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CONTROLLER_NAMESPACE}},
        {"apiVersion": "v1", "kind": "ConfigMap", "data": data}
        | {"metadata": metadata | {"name": "argo-rollouts-notification-configmap"}},
        {"apiVersion": "v1", "kind": "Secret"} | {"metadata": metadata | {"name": "argo-rollouts-notification-secret"}},
    ]
    cluster.kubectl("apply", "-f", "-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
