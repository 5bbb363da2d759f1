{{/* The name that all objects begin with. */}}
{{- define "quotes.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains "quotes" .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-quotes" .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels that never change: what selectors use. Call with (dict "root" $ "component" "broker"). */}}
{{- define "quotes.selector" -}}
app.kubernetes.io/name: quotes
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{/* Labels of pods: nothing that changes with the chart's version, which would replace them all. */}}
{{- define "quotes.podLabels" -}}
{{ include "quotes.selector" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Labels of objects. */}}
{{- define "quotes.labels" -}}
{{ include "quotes.podLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* Object metadata: name and labels. */}}
{{- define "quotes.metadata" -}}
name: {{ include "quotes.fullname" .root }}-{{ .component }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "quotes.labels" . | nindent 2 }}
{{- end -}}

{{/* NAME=HOST:PORT of every shard, by the stable DNS names of the StatefulSet. */}}
{{- define "quotes.shards" -}}
{{- $name := include "quotes.fullname" . -}}
{{- $list := list -}}
{{- range $i := until (int .Values.shard.replicas) -}}
{{- $list = append $list (printf "shard-%d=%s-shard-%d.%s-shard.%s.svc:%d" $i $name $i $name $.Release.Namespace (add 9001 $i)) -}}
{{- end -}}
{{- join "," $list -}}
{{- end -}}

{{/* HOST:PORT of a component's Service. Call with (dict "root" $ "component" "core" "port" 8082). */}}
{{- define "quotes.addr" -}}
{{ include "quotes.fullname" .root }}-{{ .component }}.{{ .root.Release.Namespace }}.svc:{{ .port }}
{{- end -}}

{{/* The configuration of a component: one flag a line, as the environment that every flag falls back to. */}}
{{- define "quotes.config" -}}
{{- $v := .root.Values -}}
QUOTES_LOG_LEVEL: {{ $v.log.level | quote }}
QUOTES_LOG_FORMAT: {{ $v.log.format | quote }}
{{- if eq .component "external" }}
QUOTES_LISTEN: ":8080"
QUOTES_ADMIN: ":18080"
QUOTES_CHAOS: {{ $v.external.chaos | quote }}
QUOTES_SYMBOLS: {{ join "," $v.external.symbols | quote }}
QUOTES_RATE: {{ $v.external.rate | quote }}
QUOTES_SEED: {{ int64 $v.external.seed | quote }}
{{- else if eq .component "broker" }}
QUOTES_LISTEN: ":8081"
QUOTES_ADMIN: ":18081"
{{- else if eq .component "core" }}
QUOTES_LISTEN: ":8082"
QUOTES_ADMIN: ":18082"
QUOTES_EXTERNAL: {{ include "quotes.addr" (dict "root" .root "component" "external" "port" 8080) | quote }}
QUOTES_BROKER: {{ include "quotes.addr" (dict "root" .root "component" "broker" "port" 8081) | quote }}
QUOTES_SHARDS: {{ include "quotes.shards" .root | quote }}
QUOTES_COPIES: {{ $v.shard.copies | quote }}
{{- else if eq .component "shard" }}
QUOTES_HOST: "0.0.0.0"
QUOTES_ADMIN: ":19001"
QUOTES_DATA: /data
QUOTES_LOCK_WAIT: 10s
QUOTES_SHARDS: {{ include "quotes.shards" .root | quote }}
QUOTES_COPIES: {{ $v.shard.copies | quote }}
QUOTES_RETENTION_AGE: {{ $v.shard.history.maxAge | quote }}
QUOTES_RETENTION_MB: {{ int64 $v.shard.history.maxMB | quote }}
QUOTES_REBUILD: {{ $v.shard.rebuild | quote }}
{{- else if eq .component "aggregator" }}
QUOTES_LISTEN: ":8000"
QUOTES_ADMIN: ":18000"
QUOTES_CORE: {{ include "quotes.addr" (dict "root" .root "component" "core" "port" 8082) | quote }}
QUOTES_BROKER: {{ include "quotes.addr" (dict "root" .root "component" "broker" "port" 8081) | quote }}
QUOTES_SHARDS: {{ include "quotes.shards" .root | quote }}
QUOTES_COPIES: {{ $v.shard.copies | quote }}
QUOTES_DEFAULT_SYMBOL: {{ $v.aggregator.defaultSymbol | quote }}
{{- end }}
{{- end -}}

{{/* Port of a component's admin listener. */}}
{{- define "quotes.adminPort" -}}
{{- get (dict "external" 18080 "broker" 18081 "core" 18082 "shard" 19001 "aggregator" 18000) . -}}
{{- end -}}

{{/* What every container may do: nothing. */}}
{{- define "quotes.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "quotes.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* Scheduling and the rest that all pods share. */}}
{{- define "quotes.podCommon" -}}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  {{- include "quotes.podSecurity" . | nindent 2 }}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
terminationGracePeriodSeconds: {{ .root.Values.terminationGracePeriodSeconds }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "quotes.selector" . | nindent 8 }}
{{- end -}}

{{/* Nine tenths of a quantity such as 256Mi, in KiB as GOMEMLIMIT wants it: the rest is for what Go's heap does not count. */}}
{{- define "quotes.memoryLimit" -}}
{{- div (mul (include "quotes.kib" .) 9) 10 -}}KiB
{{- end -}}

{{/* A quantity of bytes, such as 1Gi, in KiB. */}}
{{- define "quotes.kib" -}}
{{- $unit := regexFind "[A-Za-z]+$" . -}}
{{- mul (trimSuffix $unit .) (get (dict "Ki" 1 "Mi" 1024 "Gi" 1048576 "Ti" 1073741824) $unit) -}}
{{- end -}}

{{/* Seconds that a process may take to stop, once it was told to. */}}
{{- define "quotes.drainSeconds" -}}10{{- end -}}

{{/* The one container of a component. Call with root, component and ports (name → number). */}}
{{- define "quotes.container" -}}
{{- $c := index .root.Values .component -}}
name: {{ .component }}
image: {{ index .root.Values.images .component | quote }}
imagePullPolicy: {{ .root.Values.imagePullPolicy }}
envFrom:
  - configMapRef:
      name: {{ include "quotes.fullname" .root }}-{{ .component }}
env:
  - {name: GOMEMLIMIT, value: {{ include "quotes.memoryLimit" $c.resources.limits.memory }}}
  {{- if eq .component "shard" }}
  - name: ORDINAL
    valueFrom:
      fieldRef: {fieldPath: "metadata.labels['apps.kubernetes.io/pod-index']"}
  - name: QUOTES_NAME
    value: shard-$(ORDINAL)
  {{- end }}
ports:
  {{- range $name, $port := .ports }}
  - {name: {{ $name }}, containerPort: {{ $port }}}
  {{- end }}
  - {name: admin, containerPort: {{ include "quotes.adminPort" .component }}}
startupProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  failureThreshold: 3
lifecycle:
  preStop:
    sleep: {seconds: {{ .root.Values.preStopSeconds }}}
resources:
  {{- toYaml $c.resources | nindent 2 }}
securityContext:
  {{- include "quotes.containerSecurity" . | nindent 2 }}
{{- end -}}

{{/* Annotation that rolls the pods when their configuration changes, and only then. */}}
{{- define "quotes.checksum" -}}
checksum/config: {{ include "quotes.config" . | sha256sum }}
{{- end -}}
