{{/* The operator's permissions. Each verb is here because a request of the operator needs it; tests compare the two. */}}

{{/* The names of roles outside the release's namespace must differ from those of other releases. */}}
{{- define "dora-operator.roleName" -}}
{{ include "dora-operator.namespace" . }}-{{ include "dora-operator.fullname" . }}
{{- end }}

{{/* In every namespace that the operator watches. */}}
{{- define "dora-operator.rules.watched" -}}
- apiGroups: [dora-operator.io]
  resources: [doradeployments]
  verbs: [list, watch]
- apiGroups: [dora-operator.io]
  resources: [doradeployments/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
- apiGroups: [""]
  resources: [namespaces]
  verbs: [get]
{{- if has "Rollout" .Values.settings.sources }}
- apiGroups: [dora-operator.io]
  resources: [doradeployments]
  verbs: [create, patch, delete]
- apiGroups: [dora-operator.io]
  resources: [dorahistories]
  verbs: [list, create, patch]
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
{{- end }}
{{- end }}

{{/* In the namespaces of credentials.fromNamespaces. No list and no watch: a Secret is read only by its name. */}}
{{- define "dora-operator.rules.secrets" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}

{{/* The Lease, without which nothing is written. RBAC cannot restrict create to a name. */}}
{{- define "dora-operator.rules.lease" -}}
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  verbs: [create]
- apiGroups: [coordination.k8s.io]
  resources: [leases]
  resourceNames: [{{ include "dora-operator.leaseName" . | quote }}]
  verbs: [get, update]
{{- end }}

{{/*
A role and its binding to the operator's ServiceAccount: in one namespace, or in the whole cluster if namespace is empty.
Takes a dict with root, name, namespace and rules.
*/}}
{{- define "dora-operator.grant" -}}
{{- $kind := .namespace | empty | ternary "ClusterRole" "Role" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}
metadata:
  name: {{ .name | quote }}
  {{- with .namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  labels:
    {{- include "dora-operator.labels" .root | nindent 4 }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ $kind }}Binding
metadata:
  name: {{ .name | quote }}
  {{- with .namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  labels:
    {{- include "dora-operator.labels" .root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ $kind }}
  name: {{ .name | quote }}
subjects:
  - kind: ServiceAccount
    name: {{ include "dora-operator.serviceAccountName" .root | quote }}
    namespace: {{ include "dora-operator.namespace" .root | quote }}
{{- end }}
