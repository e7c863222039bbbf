{{/* Names, labels, and the operator's environment. */}}

{{/* Where the operator answers its probes, and where it shows its metrics: said here and nowhere else. */}}
{{- define "dora-operator.path.live" -}}/livez{{- end }}
{{- define "dora-operator.path.ready" -}}/readyz{{- end }}
{{- define "dora-operator.path.metrics" -}}/metrics{{- end }}

{{- define "dora-operator.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "dora-operator.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- $name := include "dora-operator.name" . }}
{{- contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "dora-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "dora-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "dora-operator.labels" -}}
{{ include "dora-operator.selectorLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | trunc 63 | trimAll "-_." | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "dora-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- .Values.serviceAccount.name | default (include "dora-operator.fullname" .) }}
{{- else }}
{{- .Values.serviceAccount.name | default "default" }}
{{- end }}
{{- end }}

{{- define "dora-operator.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* The Secret with the operator's own keys; empty where there is none. */}}
{{- define "dora-operator.secretName" -}}
{{- if .Values.datadog.existingSecret }}
{{- .Values.datadog.existingSecret }}
{{- else if .Values.datadog.apiKey }}
{{- include "dora-operator.fullname" . }}
{{- end }}
{{- end }}

{{/* "true" where a Lease decides which replica works. */}}
{{- define "dora-operator.leaderElection" -}}
{{- if or (gt (int .Values.replicas) 1) .Values.settings.leaderElection }}true{{ end }}
{{- end }}

{{- define "dora-operator.leaseName" -}}
{{- .Values.settings.leaseName | default (include "dora-operator.fullname" .) }}
{{- end }}

{{- define "dora-operator.leaseNamespace" -}}
{{- .Values.settings.leaseNamespace | default .Release.Namespace }}
{{- end }}

{{/*
The settings as environment variables: each value of `settings` becomes DORA_OPERATOR_ and its name in capitals.
Lists are joined by commas; what is empty is left out, and the operator's default counts.
*/}}
{{- define "dora-operator.settingsEnv" -}}
{{- $settings := deepCopy .Values.settings }}
{{- if include "dora-operator.leaderElection" . }}
{{- $_ := set $settings "leaderElection" true }}
{{- $_ := set $settings "leaseName" (include "dora-operator.leaseName" .) }}
{{- $_ := set $settings "leaseNamespace" (include "dora-operator.leaseNamespace" .) }}
{{- end }}
{{- range $name, $value := $settings }}
{{- $text := kindIs "slice" $value | ternary (join "," $value) (toString $value) }}
{{- if and (not (kindIs "invalid" $value)) (ne $text "") }}
- name: DORA_OPERATOR_{{ $name | snakecase | upper }}
  value: {{ $text | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* What no schema can say about values. */}}
{{- define "dora-operator.check" -}}
{{- with .Values.datadog }}
{{- if and .existingSecret (or .apiKey .appKey) }}
{{- fail "datadog.existingSecret and datadog.apiKey are both set: keep existingSecret, and remove apiKey and appKey" }}
{{- end }}
{{- if ne (empty .apiKey) (empty .appKey) }}
{{- fail "datadog.apiKey and datadog.appKey go together: set both, or better create a Secret and name it in datadog.existingSecret" }}
{{- end }}
{{- end }}
{{- if and (or .Values.serviceMonitor.enabled .Values.podMonitor.enabled) (not .Values.settings.metricsPort) }}
{{- fail "a serviceMonitor or podMonitor needs settings.metricsPort: set it, for example to 8080" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.service.enabled) }}
{{- fail "a serviceMonitor needs a Service: set service.enabled to true, or use podMonitor.enabled" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "serviceMonitor and podMonitor would scrape everything twice: enable one of them" }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) .Values.rbac.create }}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: the rights would go to the ServiceAccount default; set serviceAccount.name" }}
{{- end }}
{{- end }}
