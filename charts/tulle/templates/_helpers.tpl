{{- /* SPDX-License-Identifier: Apache-2.0 */ -}}

{{- /* Labels of every object; ours win over commonLabels. Argument: the root, or
       (list root "controller"). */ -}}
{{- define "tulle.labels" -}}
{{- $root := kindIs "slice" . | ternary (first (kindIs "slice" . | ternary . (list .))) . -}}
{{- $own := dict
  "app.kubernetes.io/name" "tulle"
  "app.kubernetes.io/part-of" "tulle"
  "app.kubernetes.io/version" $root.Chart.AppVersion
  "app.kubernetes.io/managed-by" $root.Release.Service
-}}
{{- if kindIs "slice" . -}}
{{- $own = merge $own (include "tulle.selector" (last .) | fromYaml) -}}
{{- end -}}
{{- toYaml (merge $own ($root.Values.commonLabels | default dict)) -}}
{{- end -}}

{{- /* What finds the pods of one program; never changes. */ -}}
{{- define "tulle.selector" -}}
app.kubernetes.io/name: tulle
app.kubernetes.io/component: {{ . }}
{{- end -}}

{{- /* (list root .Values.proxy.image) -> registry/repository:tag@digest */ -}}
{{- define "tulle.image" -}}
{{- $root := first . -}}
{{- $image := last . -}}
{{- $tag := $image.tag | default $root.Values.image.tag | default $root.Chart.AppVersion -}}
{{- with $root.Values.imageRegistry }}{{ trimSuffix "/" . }}/{{ end -}}
{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $tag }}{{ end -}}
{{- end -}}

{{- define "tulle.pullPolicy" -}}
{{- (last .).pullPolicy | default (first .).Values.image.pullPolicy -}}
{{- end -}}

{{- /* Namespaces that are never meshed. */ -}}
{{- define "tulle.excludedNamespaces" -}}
{{- $all := list "kube-system" "kube-public" "kube-node-lease" .Release.Namespace -}}
{{- toYaml (concat $all (.Values.injector.webhook.excludedNamespaces | default list) | uniq) -}}
{{- end -}}

{{- /* Secrets with a key that signs, by name. */ -}}
{{- define "tulle.issuerSecrets" -}}
{{- toYaml (concat (list "tulle-ca") (compact (list .Values.identity.issuerSecret)) | uniq) -}}
{{- end -}}

{{- /* (list root "controller"): the part of a pod's spec that is about where and as
       whom it runs. */ -}}
{{- define "tulle.pod" -}}
{{- $root := first . -}}
{{- $name := last . -}}
{{- $v := $root.Values -}}
{{- $own := index $v $name -}}
serviceAccountName: {{ $own.serviceAccount.name }}
automountServiceAccountToken: true
enableServiceLinks: false
{{- with $v.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.podSecurityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.priorityClassName | default $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with $v.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with $own.nodeSelector | default $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $own.tolerations | default $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
affinity:
{{- with $own.affinity | default $v.affinity }}
  {{- toYaml . | nindent 2 }}
{{- else }}
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
      - weight: 100
        podAffinityTerm:
          topologyKey: kubernetes.io/hostname
          labelSelector:
            matchLabels:
              {{- include "tulle.selector" $name | nindent 14 }}
{{- end }}
{{- with $own.topologySpreadConstraints | default $v.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- range . }}
  {{- $given := deepCopy . }}
  {{- if not (hasKey $given "labelSelector") }}
  {{- /* Pods of one rollout are counted, or the old ones would be in the way. */}}
  {{- $selector := include "tulle.selector" $name | fromYaml }}
  {{- $given = merge $given (dict "labelSelector" (dict "matchLabels" $selector) "matchLabelKeys" (list "pod-template-hash")) }}
  {{- end }}
  {{- list $given | toYaml | nindent 2 }}
  {{- end }}
{{- end }}
{{- end -}}

{{- /* (list root "controller"): the head of a Deployment's spec, down to its pods' metadata. */ -}}
{{- define "tulle.deployment" -}}
{{- $root := first . -}}
{{- $name := last . -}}
{{- $own := index $root.Values $name -}}
replicas: {{ $own.replicas }}
revisionHistoryLimit: {{ $root.Values.revisionHistoryLimit }}
{{- with $root.Values.deploymentStrategy }}
strategy:
  {{- toYaml (eq (.type | default "RollingUpdate") "RollingUpdate" | ternary . (omit . "rollingUpdate")) | nindent 2 }}
{{- end }}
selector:
  matchLabels:
    {{- include "tulle.selector" $name | nindent 4 }}
{{- end -}}

{{- define "tulle.podMetadata" -}}
{{- $root := first . -}}
{{- $name := last . -}}
{{- $own := index $root.Values $name -}}
labels:
  {{- $labels := include "tulle.labels" . | fromYaml }}
  {{- toYaml (mustMergeOverwrite (dict) ($root.Values.podLabels | default dict) ($own.podLabels | default dict) $labels) | nindent 2 }}
{{- /* The mesh's own pods stay outside of it, whatever their namespace says. */}}
annotations:
  kubectl.kubernetes.io/default-container: {{ $name }}
  {{- with mustMergeOverwrite (dict) ($root.Values.podAnnotations | default dict) ($own.podAnnotations | default dict) }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}

{{- define "tulle.env" -}}
- name: {{ first . }}
  value: {{ kindIs "invalid" (last .) | ternary "" (last .) | toString | quote }}
{{- end -}}

{{- /* Argument: the scheme of the port `health`. Caches are filled before the first
       ready; no start-up limit makes a slow API server into restarts. */ -}}
{{- define "tulle.life" -}}
# First leave the Service, then end: who asks meanwhile is still answered.
lifecycle:
  preStop:
    sleep:
      seconds: 5
readinessProbe:
  httpGet:
    path: /ready
    port: health
    scheme: {{ . }}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 3
livenessProbe:
  httpGet:
    path: /live
    port: health
    scheme: {{ . }}
  initialDelaySeconds: 5
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- end -}}

{{- /* (list .Values.proxy.resources "limits" "memory"). A number is as good as text; as
       YAML prints it, 256 MiB would be 2.68435456e+08. */ -}}
{{- define "tulle.quantity" -}}
{{- $of := index (first . | default dict) (index . 1) | default dict -}}
{{- $q := index $of (last .) -}}
{{- if kindIs "invalid" $q -}}
{{- else if kindIs "string" $q -}}
{{- $q -}}
{{- else if eq (last .) "memory" -}}
{{- printf "%.0f" (float64 $q) -}}
{{- else -}}
{{- printf "%.0fm" (mulf 1000 $q) -}}
{{- end -}}
{{- end -}}

{{- /* A range like 9-8, which no schema can see. */ -}}
{{- define "tulle.ports" -}}
{{- range $range := splitList "," (. | default "") -}}
{{- $ends := splitList "-" (trim $range) -}}
{{- if gt (int (first $ends)) (int (last $ends)) -}}
{{- fail (printf "proxyInit: the range of ports %s ends before it begins" (trim $range)) -}}
{{- end -}}
{{- end -}}
{{- . -}}
{{- end -}}

{{- /* What the injector puts into pods: injector/config.def. */ -}}
{{- define "tulle.sidecarEnv" -}}
{{- $v := .Values -}}
{{- $env := list
  (list "TULLE_INJECTOR_PROXY_IMAGE" (include "tulle.image" (list . $v.proxy.image)))
  (list "TULLE_INJECTOR_PROXY_PULL_POLICY" (include "tulle.pullPolicy" (list . $v.proxy.image)))
  (list "TULLE_INJECTOR_CLUSTER_DOMAIN" $v.clusterDomain)
  (list "TULLE_INJECTOR_TRUST_DOMAIN" $v.identity.trustDomain)
  (list "TULLE_INJECTOR_PROXY_UID" (int $v.proxy.uid))
  (list "TULLE_INJECTOR_PROXY_GID" (int $v.proxy.gid))
  (list "TULLE_INJECTOR_PROXY_CPU_REQUEST" (include "tulle.quantity" (list $v.proxy.resources "requests" "cpu")))
  (list "TULLE_INJECTOR_PROXY_CPU_LIMIT" (include "tulle.quantity" (list $v.proxy.resources "limits" "cpu")))
  (list "TULLE_INJECTOR_PROXY_MEMORY_REQUEST" (include "tulle.quantity" (list $v.proxy.resources "requests" "memory")))
  (list "TULLE_INJECTOR_PROXY_MEMORY_LIMIT" (include "tulle.quantity" (list $v.proxy.resources "limits" "memory")))
  (list "TULLE_INJECTOR_PROXY_LOG_LEVEL" $v.proxy.logLevel)
  (list "TULLE_INJECTOR_PROXY_LOG_JSON" (eq $v.proxy.logFormat "json"))
  (list "TULLE_INJECTOR_ACCESS_LOG" $v.proxy.accessLog)
  (list "TULLE_INJECTOR_WORKERS" (int $v.proxy.workers))
  (list "TULLE_INJECTOR_DETECT_TIMEOUT" $v.proxy.detectTimeout)
  (list "TULLE_INJECTOR_PATH_RULE" $v.proxy.pathRule)
  (list "TULLE_INJECTOR_SHUTDOWN_GRACE" $v.proxy.shutdownGrace)
  (list "TULLE_INJECTOR_STOP_DELAY" $v.proxy.stopDelay)
  (list "TULLE_INJECTOR_SKIP_INBOUND_PORTS" (include "tulle.ports" $v.proxyInit.skipInboundPorts))
  (list "TULLE_INJECTOR_SKIP_OUTBOUND_PORTS" (include "tulle.ports" $v.proxyInit.skipOutboundPorts))
  (list "TULLE_INJECTOR_SKIP_SUBNETS" $v.proxyInit.skipSubnets)
-}}
{{- range $env }}
{{- include "tulle.env" . | nindent 0 }}
{{- end }}
{{- end -}}
