{{/* Names, labels, and the operator's environment. */}}

{{/* The paths of the probes and of the metrics: this is the only place that names them. */}}
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

{{- define "dora-operator.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace }}
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

{{/* These labels and more labels, which take precedence over commonLabels; takes a list of the root and the labels. */}}
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
{{- with .Values.image }}
{{- with .registry }}{{ . }}/{{ end }}{{ .repository }}
{{- if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* The Secret with the operator's own keys; empty if there is none. */}}
{{- define "dora-operator.secretName" -}}
{{- if .Values.datadog.existingSecret }}
{{- .Values.datadog.existingSecret }}
{{- else if .Values.datadog.apiKey }}
{{- include "dora-operator.fullname" . }}
{{- end }}
{{- end }}

{{/* Where the pod has that Secret as files. */}}
{{- define "dora-operator.keysDir" -}}/etc/dora-operator/keys{{- end }}

{{- define "dora-operator.leaseName" -}}
{{- .Values.settings.leaseName | default (include "dora-operator.fullname" .) }}
{{- end }}

{{- define "dora-operator.leaseNamespace" -}}
{{- .Values.settings.leaseNamespace | default (include "dora-operator.namespace" .) }}
{{- end }}

{{/*
The settings as environment variables: each value of `settings` becomes DORA_OPERATOR_ and its name in upper snake case.
Lists are joined by commas. An empty value is omitted, so that the operator's default applies.
*/}}
{{- define "dora-operator.settingsEnv" -}}
{{- $settings := deepCopy .Values.settings }}
{{- $_ := set $settings "leaseName" (include "dora-operator.leaseName" .) }}
{{- range $name, $value := $settings }}
{{- $text := kindIs "slice" $value | ternary (join "," $value) (toString $value) }}
{{- if and (not (kindIs "invalid" $value)) (ne $text "") }}
- name: DORA_OPERATOR_{{ $name | snakecase | upper }}
  value: {{ $text | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* The environment of the operator, and of the checks of `helm test`. */}}
{{- define "dora-operator.env" -}}
- name: DD_SITE
  value: {{ .Values.datadog.site | quote }}
{{- if include "dora-operator.secretName" . }}
- name: DORA_OPERATOR_KEYS_DIR
  value: {{ include "dora-operator.keysDir" . }}
{{- end }}
{{- include "dora-operator.settingsEnv" . }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The files that they read, and where they may write. */}}
{{- define "dora-operator.volumeMounts" -}}
- name: tmp
  mountPath: /tmp
{{- if include "dora-operator.secretName" . }}
# A directory, not a subPath: the kubelet updates the files when the Secret changes.
- name: keys
  mountPath: {{ include "dora-operator.keysDir" . }}
  readOnly: true
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "dora-operator.volumes" -}}
- name: tmp
  emptyDir:
    sizeLimit: 16Mi
{{- with include "dora-operator.secretName" . }}
- name: keys
  secret:
    secretName: {{ . | quote }}
    items:
      - key: {{ $.Values.datadog.secretKeys.apiKey | quote }}
        path: api-key
      - key: {{ $.Values.datadog.secretKeys.appKey | quote }}
        path: app-key
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/*
Ports that the operator connects to, as a YAML list: those of networkPolicy.egressPorts, and the port of each URL that the
values name for Datadog or a proxy.
*/}}
{{- define "dora-operator.egressPorts" -}}
{{- $ports := .Values.networkPolicy.egressPorts }}
{{- $urls := list .Values.settings.datadogUrl }}
{{- range .Values.extraEnv }}
{{- if regexMatch "^[Hh][Tt][Tt][Pp][Ss]?_[Pp][Rr][Oo][Xx][Yy]$" .name }}
{{- $urls = append $urls .value }}
{{- end }}
{{- end }}
{{- range $urls }}
{{- $authority := regexFind "^https?://[^/?#]+" (toString .) }}
{{- $port := regexFind ":[0-9]+$" $authority | trimPrefix ":" }}
{{- if $authority }}
{{- $ports = append $ports (int ($port | default (hasPrefix "https" $authority | ternary "443" "80"))) }}
{{- end }}
{{- end }}
{{- $ports | uniq | toYaml }}
{{- end }}

{{/* Where the operator may connect to, as rules of a NetworkPolicy. */}}
{{- define "dora-operator.egress" -}}
# The API server and Datadog. Their addresses differ from cluster to cluster and change; only the ports are known.
- ports:
    {{- range include "dora-operator.egressPorts" . | fromYamlArray }}
    - port: {{ . }}
      protocol: TCP
    {{- end }}
# DNS. A policy applies to the port of the DNS pod, which is 5353 on OpenShift.
- ports:
    {{- range $port := list 53 5353 }}
    {{- range list "UDP" "TCP" }}
    - port: {{ $port }}
      protocol: {{ . }}
    {{- end }}
    {{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The label of the pods of `helm test`: the NetworkPolicies select them by it. */}}
{{- define "dora-operator.testLabels" -}}
dora-operator.io/test-of: {{ include "dora-operator.fullname" . | quote }}
{{- end }}

{{/* All labels of the objects of `helm test`. Not those of the operator's selector: a Service would send it requests. */}}
{{- define "dora-operator.labelsOfTest" -}}
{{- omit (include "dora-operator.labels" . | fromYaml) "app.kubernetes.io/name" "app.kubernetes.io/instance" | toYaml }}
{{ include "dora-operator.testLabels" . }}
{{- end }}

{{/* Checks that the schema cannot express. */}}
{{- define "dora-operator.check" -}}
{{- with .Values.datadog }}
{{- if and .existingSecret (or .apiKey .appKey) }}
{{- fail "datadog.existingSecret and datadog.apiKey are both set: keep existingSecret, and remove apiKey and appKey" }}
{{- end }}
{{- if ne (empty .apiKey) (empty .appKey) }}
{{- fail "datadog.apiKey and datadog.appKey go together: set both, or create a Secret and name it in datadog.existingSecret, which is safer" }}
{{- end }}
{{- end }}
{{- if and (or .Values.serviceMonitor.enabled .Values.podMonitor.enabled) (not .Values.settings.metricsPort) }}
{{- fail "a serviceMonitor or podMonitor needs settings.metricsPort: set it, for example to 8080" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled (not .Values.service.enabled) }}
{{- fail "a serviceMonitor needs a Service: set service.enabled to true, or use podMonitor.enabled" }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.podMonitor.enabled }}
{{- fail "serviceMonitor and podMonitor would scrape the same metrics twice: enable one of them" }}
{{- end }}
{{- if and (not .Values.serviceAccount.create) (not .Values.serviceAccount.name) .Values.rbac.create }}
{{- fail "serviceAccount.create is false and serviceAccount.name is empty: the permissions would go to the ServiceAccount default; set serviceAccount.name" }}
{{- end }}
{{- $earlier := 0.0 }}
{{- range .Values.settings.readBackSchedule }}
{{- if le (float64 .) $earlier }}
{{- fail "settings.readBackSchedule: the seconds must ascend, such as [30, 120, 600, 3600, 86400]" }}
{{- end }}
{{- $earlier = float64 . }}
{{- end }}
{{- include "dora-operator.checkLabels" . }}
{{- include "dora-operator.checkPod" . }}
{{- end }}

{{/* Labels that selectors and Helm depend on cannot be set by the user. */}}
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

{{/* Fields that the pod would have twice; the message names the value to use instead. */}}
{{- define "dora-operator.checkPod" -}}
{{- $names := list }}
{{- range .Values.extraEnv }}
{{- if and (hasPrefix "DORA_OPERATOR_" .name) (ne .name "DORA_OPERATOR_KEYS_DIR") }}
{{- fail (printf "extraEnv sets %s: use settings.%s" .name (.name | trimPrefix "DORA_OPERATOR_" | lower | camelcase | untitle)) }}
{{- else if eq .name "DD_SITE" }}
{{- fail "extraEnv sets DD_SITE: use datadog.site" }}
{{- else if and (has .name (list "DD_API_KEY" "DD_APP_KEY" "DORA_OPERATOR_KEYS_DIR")) (include "dora-operator.secretName" $) }}
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
{{- if has .name (list "tmp" "keys") }}
{{- fail (printf "extraVolumes has %s, which is the name of a volume of the chart's own: choose another name" .name) }}
{{- end }}
{{- end }}
{{- range .Values.extraVolumeMounts }}
{{- if has (.mountPath | trimSuffix "/") (list "/tmp" (include "dora-operator.keysDir" $)) }}
{{- fail (printf "extraVolumeMounts mounts %s, where the chart mounts a volume of its own: choose another path" .mountPath) }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The alert rules of rules/dora-operator.yaml as YAML. Each metric gets a matcher for the job and the namespace of this release,
so that another release cannot hide an alert, and each runbook_url begins with prometheusRule.runbookUrl.
*/}}
{{- define "dora-operator.alertRules" -}}
{{- $file := .Files.Get "rules/dora-operator.yaml" | required "rules/dora-operator.yaml is missing from this chart: set prometheusRule.enabled to false" | fromYaml }}
{{- $namespace := include "dora-operator.namespace" . }}
{{- $name := include "dora-operator.fullname" . }}
{{- $job := .Values.prometheusRule.job | default (.Values.podMonitor.enabled | ternary (printf "%s/%s" $namespace $name) $name) }}
{{- $scope := printf "job=%q,namespace=%q" $job $namespace }}
{{- range $group := $file.groups }}
{{- range $rule := $group.rules }}
{{- $expr := regexReplaceAll "(dora_operator_[a-z_]+)[{]" $rule.expr (printf "${1}{%s," $scope) }}
{{- $_ := set $rule "expr" (regexReplaceAll "(dora_operator_[a-z_]+)([^a-z_{]|$)" $expr (printf "${1}{%s}${2}" $scope)) }}
{{- with $.Values.prometheusRule.runbookUrl }}
{{- $_ := set $rule.annotations "runbook_url" (regexReplaceAll "^[^#]*" $rule.annotations.runbook_url .) }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $file }}
{{- end }}
