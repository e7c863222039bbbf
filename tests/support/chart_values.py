"""Values of the chart that are accepted, that the linters check, and that are refused, each with what it is about."""

import pytest

TAKEN = [
    pytest.param({}, id="nothing"),
    pytest.param({"replicaCount": 2}, id="two replicas"),
    pytest.param({"settings": {"namespaces": ["default", "kube-system"]}}, id="two namespaces"),
    pytest.param({"settings": {"namespaces": ["default"]}, "replicaCount": 2}, id="a namespace and two replicas"),
    pytest.param({"settings": {"rollouts": False}}, id="without Rollouts"),
    pytest.param({"settings": {"dryRun": True, "workers": 2, "metricsPort": ""}}, id="dry run without metrics"),
    pytest.param({"settings": {"metricsPort": 8081}}, id="metrics on the port of the probes"),
    pytest.param({"settings": {"leaseName": "mine", "leaseNamespace": "default"}}, id="a Lease"),
    pytest.param({"datadog": {"existingSecret": "datadog-keys", "site": "datadoghq.eu"}}, id="a Secret that exists"),
    pytest.param(
        {"datadog": {"existingSecret": "datadog-keys", "secretKeys": {"apiKey": "API_KEY", "appKey": "app.key"}}},
        id="other names in the Secret",
    ),
    pytest.param({"datadog": {"apiKey": "a-key", "appKey": "another"}}, id="keys as values"),
    pytest.param({"replicaCount": 0}, id="no replica for the moment"),
    pytest.param({"settings": {"rolloutSelector": "env in (a, b),!c,a!=b,d"}}, id="a selector"),
    pytest.param({"crds": {"install": False}}, id="without the CRD"),
    pytest.param({"crds": {"keep": False}}, id="a CRD that is not kept"),
    pytest.param({"serviceAccount": {"create": False, "name": "default"}}, id="an account that exists"),
    pytest.param({"serviceAccount": {"name": "mine", "annotations": {"a/b": "c"}}}, id="a named account"),
    pytest.param({"rbac": {"create": False, "aggregateRoles": False}}, id="without roles"),
    pytest.param({"credentials": {"fromNamespaces": ["default", "kube-system"]}}, id="Secrets of two namespaces"),
    pytest.param(
        {"credentials": {"fromNamespaces": "all"}, "rbac": {"aggregateRoles": True}}, id="all Secrets, all users"
    ),
    pytest.param({"serviceMonitor": {"enabled": True, "labels": {"a": "b"}, "interval": "1m"}}, id="a ServiceMonitor"),
    pytest.param(
        {"podMonitor": {"enabled": True, "relabelings": [{"action": "labeldrop", "regex": "x"}]}}, id="a PodMonitor"
    ),
    pytest.param(
        {
            "prometheusRule": {
                "enabled": True,
                "labels": {"release": "prometheus"},
                "runbookUrl": "https://example.org/a",
            }
        },
        id="the rules",
    ),
    pytest.param({"grafanaDashboards": {"enabled": True, "annotations": {"folder": "DORA"}}}, id="the dashboards"),
    pytest.param({"networkPolicy": {"enabled": False}}, id="without a NetworkPolicy"),
    pytest.param(
        {
            "networkPolicy": {
                "enabled": True,
                "ingressFrom": [{"namespaceSelector": {}}],
                "extraEgress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}],
                "egressPorts": [8443],
            }
        },
        id="a NetworkPolicy with peers",
    ),
    pytest.param(
        {"podDisruptionBudget": {"enabled": False}, "replicaCount": 3}, id="three without a PodDisruptionBudget"
    ),
    pytest.param({"podDisruptionBudget": {"maxUnavailable": "50%"}, "replicaCount": 2}, id="half of the pods"),
    pytest.param({"service": {"enabled": False}}, id="without a Service"),
    pytest.param({"image": {"digest": "sha256:" + "0" * 64}, "imagePullSecrets": [{"name": "pull"}]}, id="a digest"),
    pytest.param(
        {"image": {"registry": "registry.example.org:5000", "repository": "a/b", "tag": "v1"}}, id="a registry"
    ),
    pytest.param({"nameOverride": "dora", "fullnameOverride": "x" * 53, "commonLabels": {"team": "x"}}, id="names"),
    pytest.param(
        {
            "nodeSelector": {"kubernetes.io/os": "linux"},
            "tolerations": [{"operator": "Exists"}],
            "affinity": {"podAntiAffinity": {}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "ScheduleAnyway"}
            ],
            "priorityClassName": "system-cluster-critical",
            "terminationGracePeriodSeconds": 10,
        },
        id="where the pod runs",
    ),
    pytest.param(
        {
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            "extraVolumes": [{"name": "ca", "configMap": {"name": "ca"}}],
            "extraVolumeMounts": [{"name": "ca", "mountPath": "/ca", "readOnly": True}],
            "podAnnotations": {"a": "b"},
            "podLabels": {"c": "d"},
            "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
            "livenessProbe": {"failureThreshold": 9, "terminationGracePeriodSeconds": 5},
            "readinessProbe": {"successThreshold": 2},
            "startupProbe": {"initialDelaySeconds": 1},
        },
        id="more of everything in the pod",
    ),
    pytest.param(
        {
            "commonLabels": {"team": "x", "a": "b"},
            "podLabels": {"team": "red"},
            "podAnnotations": {"team": "z"},
        }
        | {"datadog": {"apiKey": "a-key", "appKey": "another"}, "deploymentAnnotations": {"reload": "true"}},
        id="labels and annotations that are set twice",
    ),
    pytest.param(
        {
            "extraPodSpec": {
                "hostUsers": False,
                "runtimeClassName": "gvisor",
                "schedulerName": "mine",
                "dnsConfig": {"options": [{"name": "ndots", "value": "1"}]},
                "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["datadog-proxy"]}],
            }
        },
        id="more fields of the pod",
    ),
    pytest.param(
        {
            "replicaCount": 2,
            "namespaceOverride": "kube-system",
            "settings": {"namespaces": ["default"]},
            "credentials": {"fromNamespaces": ["kube-system"]},
            "serviceMonitor": {"enabled": True},
            **{name: {"enabled": True} for name in ("prometheusRule", "grafanaDashboards")},
            "crds": {"install": False},
        },
        id="everything at once",
    ),
    pytest.param(
        {
            "extraObjects": [
                {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-a"}},
                "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Release.Name }}-b\n",
            ]
        },
        id="more objects",
    ),
]


_LINTED_IDS = (
    "nothing",
    "two replicas",
    "two namespaces",
    "without Rollouts",
    "a Secret that exists",
    "Secrets of two namespaces",
    "all Secrets, all users",
    "a ServiceMonitor",
    "the rules",
    "a digest",
    "everything at once",
)
LINTED = [one for one in TAKEN if one.id in _LINTED_IDS]
"""The default and ten sets of values that an administrator would choose, for kube-score and kubeconform."""


REFUSED = [
    pytest.param(
        {"datadog": {"secretKeys": {"apiKey": ".."}}}, "at '/datadog/secretKeys/apiKey'", id="no key of a Secret"
    ),
    pytest.param({"commonLabels": {"our team": "a"}}, "at '/commonLabels'", id="a label that Kubernetes refuses"),
    pytest.param(
        {"service": {"annotations": {"a/b/c": "a"}}}, "at '/service/annotations'", id="an annotation that is none"
    ),
    pytest.param({"settings": {"readBackSchedule": [60, 30]}}, "the seconds must ascend", id="reads that go back"),
    pytest.param({"settings": {"readBackSchedule": [0, 30]}}, "at '/settings/readBackSchedule/0'", id="a read at once"),
    pytest.param({"settings": {"readBackSchedule": []}}, "at '/settings/readBackSchedule'", id="no reads"),
    pytest.param(
        {"settings": {"datadogUrl": "https://proxy.example:99999"}}, "at '/settings/datadogUrl'", id="no such port"
    ),
    pytest.param(
        {"settings": {"datadogUrl": "https://user@proxy.example"}},
        "at '/settings/datadogUrl'",
        id="an address with a user",
    ),
    pytest.param(
        {"settings": {"datadogUrl": "https://proxy.example?to=1"}},
        "at '/settings/datadogUrl'",
        id="an address with a query",
    ),
    pytest.param(
        {"settings": {"rolloutSelector": "team=" + "x" * 64}}, "at '/settings/rolloutSelector'", id="a label too long"
    ),
    pytest.param({"replicaCount": 11}, "at '/replicaCount': maximum", id="eleven replicas"),
    pytest.param({"replicas": 1}, "'replicas' not allowed", id="a name that does not exist"),
    pytest.param({"settings": {"worker": 1}}, "'worker' not allowed", id="a setting that does not exist"),
    pytest.param({"settings": {"workers": "many"}}, "at '/settings/workers': got string", id="a word for a number"),
    pytest.param({"settings": {"workers": 257}}, "at '/settings/workers': maximum", id="too many workers"),
    pytest.param({"settings": {"dryRun": "yes"}}, "at '/settings/dryRun': got string", id="yes"),
    pytest.param({"settings": {"namespaces": "shop"}}, "at '/settings/namespaces': got string", id="no list"),
    pytest.param({"settings": {"namespaces": ["Shop"]}}, "does not match pattern", id="no namespace"),
    pytest.param({"settings": {"retrySuccess": "Maybe"}}, "'MarkStable', 'Keep'", id="an unknown choice"),
    pytest.param({"settings": {"healthPort": 0}}, "at '/settings/healthPort': minimum", id="no port for probes"),
    pytest.param({"settings": {"healthPort": None}}, "missing property 'healthPort'", id="a port that is taken away"),
    pytest.param({"datadog": {"site": "us1.datadoghq.com"}}, "value must be one of 'datadoghq.com'", id="no site"),
    pytest.param({"datadog": {"existingSecret": "My Secret"}}, "does not match pattern", id="no Secret's name"),
    pytest.param({"datadog": {"apiKey": "a key", "appKey": "b"}}, "does not match pattern", id="a key with a blank"),
    pytest.param({"datadog": {"apiKey": "a"}}, "set both", id="one key of two"),
    pytest.param({"datadog": {"existingSecret": "a", "apiKey": "b", "appKey": "c"}}, "keep existingSecret", id="both"),
    pytest.param({"image": {"digest": "sha256:1"}}, "does not match pattern", id="half a digest"),
    pytest.param({"image": {"pullPolicy": "always"}}, "'Always', 'IfNotPresent', 'Never'", id="a policy in small"),
    pytest.param({"imagePullSecrets": ["pull"]}, "at '/imagePullSecrets/0': got string", id="a name for an object"),
    pytest.param({"crds": {"enabled": True}}, "'enabled' not allowed", id="another chart's word"),
    pytest.param({"serviceMonitor": {"enabled": True, "interval": "30"}}, "does not match pattern", id="no unit"),
    pytest.param(
        {"serviceMonitor": {"enabled": True}, "settings": {"metricsPort": ""}},
        "needs settings.metricsPort",
        id="no port",
    ),
    pytest.param(
        {"serviceMonitor": {"enabled": True}, "service": {"enabled": False}}, "set service.enabled", id="no Service"
    ),
    pytest.param(
        {"serviceMonitor": {"enabled": True}, "podMonitor": {"enabled": True}}, "enable one of them", id="two monitors"
    ),
    pytest.param(
        {"serviceAccount": {"create": False}}, "set serviceAccount.name", id="permissions for the default account"
    ),
    pytest.param({"extraEnv": [{"name": "A B", "value": "c"}]}, "does not match pattern", id="no variable"),
    pytest.param({"podLabels": {"a": 1}}, "got number, want string", id="a number for a label"),
    pytest.param(
        {"commonLabels": {"app.kubernetes.io/name": "x"}},
        "commonLabels sets app.kubernetes.io/name",
        id="a label taken",
    ),
    pytest.param(
        {"podLabels": {"app.kubernetes.io/instance": "x"}}, "podLabels sets app.kubernetes.io/instance", id="another"
    ),
    pytest.param(
        {"extraEnv": [{"name": "DORA_OPERATOR_DRY_RUN", "value": "true"}]},
        "use settings.dryRun",
        id="a setting as extra",
    ),
    pytest.param({"extraEnv": [{"name": "DD_SITE", "value": "x"}]}, "use datadog.site", id="the site as extra"),
    pytest.param(
        {"extraEnv": [{"name": "DD_API_KEY", "value": "x"}], "datadog": {"existingSecret": "a"}},
        "and so does datadog.existingSecret",
        id="a key twice",
    ),
    pytest.param({"extraEnv": [{"name": "A"}, {"name": "A"}]}, "sets A twice", id="a variable twice"),
    pytest.param(
        {"extraPodSpec": {"tolerations": []}}, "extraPodSpec sets tolerations", id="a field with its own value"
    ),
    pytest.param(
        {"extraEnv": [{"name": "DORA_OPERATOR_KEYS_DIR", "value": "/x"}], "datadog": {"existingSecret": "a"}},
        "and so does datadog.existingSecret",
        id="another directory of keys",
    ),
    pytest.param({"extraVolumes": [{"name": "tmp"}]}, "choose another", id="the chart's own volume"),
    pytest.param({"extraVolumes": [{"name": "keys"}]}, "choose another", id="the volume of the keys"),
    pytest.param(
        {"extraVolumeMounts": [{"name": "a", "mountPath": "/tmp/"}]}, "another path", id="the chart's own path"
    ),
    pytest.param({"affinity": {"podAntiAfinity": {}}}, "'podAntiAfinity' not allowed", id="a typo in affinity"),
    pytest.param({"tolerations": [{"effects": "x"}]}, "'effects' not allowed", id="a typo in a toleration"),
    pytest.param({"securityContext": {"privilegd": True}}, "'privilegd' not allowed", id="a typo of the container"),
    pytest.param({"podSecurityContext": {"runAsUsr": 1}}, "'runAsUsr' not allowed", id="a typo of the pod"),
    pytest.param(
        {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a"}]},
        "missing property 'whenUnsatisfiable'",
        id="half a constraint",
    ),
    pytest.param({"networkPolicy": {"ingressFrom": [{"namespace": {}}]}}, "'namespace' not allowed", id="no peer"),
    pytest.param({"networkPolicy": {"extraEgress": [{"from": []}]}}, "'from' not allowed", id="no egress rule"),
    pytest.param({"resources": {"limits": {"memory": "512mb"}}}, "/resources/limits/memory", id="no quantity"),
    pytest.param({"settings": {"rolloutSelector": "a=b=c"}}, "at '/settings/rolloutSelector'", id="no selector"),
    pytest.param({"settings": {"datadogUrl": "proxy:8080"}}, "at '/settings/datadogUrl'", id="a URL without a scheme"),
    pytest.param({"settings": {"leaseName": "My Lease"}}, "at '/settings/leaseName'", id="no Lease's name"),
    pytest.param({"credentials": {"fromNamespaces": "some"}}, "at '/credentials/fromNamespaces'", id="some Secrets"),
    pytest.param({"credentials": {"fromNamespaces": ["*"]}}, "/credentials/fromNamespaces", id="a wildcard"),
    pytest.param({"rbac": {"secrets": {"enabled": True}}}, "'secrets' not allowed", id="a value of former versions"),
    pytest.param({"image": {"registry": "https://a.b"}}, "at '/image/registry'", id="a URL for a registry"),
    pytest.param({"datadog": {"secretKeys": {"apiKey": "a b"}}}, "at '/datadog/secretKeys/apiKey'", id="no key's name"),
    pytest.param({"livenessProbe": {"httpGet": {}}}, "'httpGet' not allowed", id="another endpoint for a probe"),
    pytest.param({"livenessProbe": {"successThreshold": 2}}, "/livenessProbe/successThreshold", id="two successes"),
    pytest.param({"prometheusRule": {"runbookUrl": "docs/a.md"}}, "/prometheusRule/runbookUrl", id="a relative URL"),
    pytest.param({"settings": {"allowedServices": [""]}}, "/settings/allowedServices/0", id="nothing that is allowed"),
    pytest.param({"settings": {"allowedEnvs": ["prod,stage"]}}, "/settings/allowedEnvs/0", id="two names in one"),
    pytest.param({"fullnameOverride": "1st"}, "does not match pattern", id="a name that no Service may have"),
]
