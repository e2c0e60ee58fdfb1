{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}
{{- define "cloud-recording.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{- define "cloud-recording.fullname" -}}
{{- $name := include "cloud-recording.name" . }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "cloud-recording.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "cloud-recording.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- define "cloud-recording.selectorLabels" -}}
app.kubernetes.io/name: {{ include "cloud-recording.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "cloud-recording.labels" -}}
app.kubernetes.io/name: {{ include "cloud-recording.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: cloud-recording
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "cloud-recording.image" -}}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository .tag }}
{{- end }}
{{- end }}

{{- define "cloud-recording.operatorImage" -}}
{{- $image := .Values.image }}
{{- include "cloud-recording.image" (dict "repository" $image.repository "digest" $image.digest "tag" (default .Chart.AppVersion $image.tag)) }}
{{- end }}

{{- define "cloud-recording.runnerImage" -}}
{{- $image := .Values.runner.image }}
{{- if or $image.repository $image.tag $image.digest }}
{{- $tag := $image.tag | default .Values.image.tag | default .Chart.AppVersion }}
{{- include "cloud-recording.image" (dict "repository" (default .Values.image.repository $image.repository) "digest" $image.digest "tag" $tag) }}
{{- else }}
{{- include "cloud-recording.operatorImage" . }}
{{- end }}
{{- end }}
