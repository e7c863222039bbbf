{{/* The operator's rights. Each verb stands here because a request of the operator needs it; tests compare the two. */}}

{{/* Roles outside the release's namespace must not meet those of another release. Names of roles may be long. */}}
{{- define "dora-operator.roleName" -}}
{{ .Release.Namespace }}-{{ include "dora-operator.fullname" . }}
{{- end }}

{{/* Where resources and Rollouts live. */}}
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
{{- if .Values.settings.rollouts }}
- apiGroups: [dora-operator.io]
  resources: [doradeployments]
  verbs: [create, patch, delete]
- apiGroups: [argoproj.io]
  resources: [rollouts]
  verbs: [list, watch]
- apiGroups: [apps]
  resources: [replicasets]
  verbs: [list]
- apiGroups: [""]
  resources: [events]
  verbs: [list]
{{- end }}
{{- end }}

{{/* Where resources may name Secrets: get alone, so that nobody can list them. */}}
{{- define "dora-operator.rules.secrets" -}}
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
{{- end }}

{{/* The Lease by which replicas agree who works. create knows no names. */}}
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
A role and its binding to the operator's ServiceAccount: in a namespace, or in the whole cluster where it is empty.
Takes a dict of root, name, namespace and rules.
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
    namespace: {{ .root.Release.Namespace | quote }}
{{- end }}
