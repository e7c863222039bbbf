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
app.kubernetes.io/name: {{ include "dora-operator.name" . | quote }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
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

{{/* The same with more, which win over commonLabels; takes a list of the root and these. */}}
{{- define "dora-operator.labelsWith" -}}
{{- merge (deepCopy (index . 1 | default dict)) (include "dora-operator.labels" (index . 0) | fromYaml) | toYaml }}
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

{{/* Labels of the pod of `helm test`, which a NetworkPolicy lets in. */}}
{{- define "dora-operator.testLabels" -}}
dora-operator.io/test-of: {{ include "dora-operator.fullname" . | quote }}
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
{{- include "dora-operator.checkLabels" . }}
{{- include "dora-operator.checkPod" . }}
{{- end }}

{{/* Labels by which objects find each other, and Helm finds them, are the chart's. */}}
{{- define "dora-operator.checkLabels" -}}
{{- $own := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" }}
{{- range $value, $labels := dict "commonLabels" .Values.commonLabels "podLabels" .Values.podLabels "serviceMonitor.labels" .Values.serviceMonitor.labels "podMonitor.labels" .Values.podMonitor.labels "prometheusRule.labels" .Values.prometheusRule.labels "grafanaDashboards.labels" .Values.grafanaDashboards.labels }}
{{- range $label, $_ := $labels }}
{{- if has $label $own }}
{{- fail (printf "%s sets %s, which the chart sets itself: remove it, or use nameOverride" $value $label) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* What would stand twice in the pod, and which value is meant instead. */}}
{{- define "dora-operator.checkPod" -}}
{{- $names := list }}
{{- range .Values.extraEnv }}
{{- if hasPrefix "DORA_OPERATOR_" .name }}
{{- fail (printf "extraEnv sets %s: use settings.%s" .name (.name | trimPrefix "DORA_OPERATOR_" | lower | camelcase | untitle)) }}
{{- else if eq .name "DD_SITE" }}
{{- fail "extraEnv sets DD_SITE: use datadog.site" }}
{{- else if and (has .name (list "DD_API_KEY" "DD_APP_KEY")) (include "dora-operator.secretName" $) }}
{{- fail (printf "extraEnv sets %s, and so does datadog.existingSecret or datadog.apiKey: remove one of them" .name) }}
{{- else if has .name $names }}
{{- fail (printf "extraEnv sets %s twice: remove one of them" .name) }}
{{- end }}
{{- $names = append $names .name }}
{{- end }}
{{- $taken := list "containers" "volumes" "serviceAccountName" "automountServiceAccountToken" "enableServiceLinks" "terminationGracePeriodSeconds" "securityContext" "imagePullSecrets" "priorityClassName" "nodeSelector" "affinity" "tolerations" "topologySpreadConstraints" }}
{{- range $field, $_ := .Values.extraPodSpec }}
{{- if has $field $taken }}
{{- fail (printf "extraPodSpec sets %s, which the chart sets itself: use the value for it" $field) }}
{{- end }}
{{- end }}
{{- range .Values.extraVolumes }}
{{- if eq .name "tmp" }}
{{- fail "extraVolumes has tmp, which is the name of the chart's own volume: choose another" }}
{{- end }}
{{- end }}
{{- range .Values.extraVolumeMounts }}
{{- if eq (.mountPath | trimSuffix "/") "/tmp" }}
{{- fail "extraVolumeMounts mounts /tmp, where the chart mounts a volume of its own: choose another path" }}
{{- end }}
{{- end }}
{{- end }}
