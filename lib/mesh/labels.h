/* SPDX-License-Identifier: Apache-2.0 */
/* Every label and annotation name that Tulle reads or writes, and the fixed
 * names of what it adds to pods: once. */
#ifndef TULLE_MESH_LABELS_H
#define TULLE_MESH_LABELS_H

/* Ours: what people set. Label on a namespace, annotation or label on a pod
 * (the pod wins). */
#define LABEL_INJECT "tulle.dev/inject" /* enabled | disabled */
#define INJECT_ENABLED "enabled"
#define INJECT_DISABLED "disabled"

/* Settings: annotations on a pod or a namespace. */
#define ANNOTATION_MTLS "tulle.dev/mtls" /* permissive | strict */
#define ANNOTATION_SKIP_INBOUND_PORTS "tulle.dev/skip-inbound-ports"
#define ANNOTATION_SKIP_OUTBOUND_PORTS "tulle.dev/skip-outbound-ports"
#define ANNOTATION_SKIP_SUBNETS "tulle.dev/skip-subnets"
#define ANNOTATION_OPAQUE_PORTS "tulle.dev/opaque-ports" /* also on Services */
#define ANNOTATION_PROXY_CPU_REQUEST "tulle.dev/proxy-cpu-request"
#define ANNOTATION_PROXY_CPU_LIMIT "tulle.dev/proxy-cpu-limit"
#define ANNOTATION_PROXY_MEMORY_REQUEST "tulle.dev/proxy-memory-request"
#define ANNOTATION_PROXY_MEMORY_LIMIT "tulle.dev/proxy-memory-limit"
#define ANNOTATION_PROXY_LOG_LEVEL "tulle.dev/proxy-log-level"
#define ANNOTATION_PROXY_IMAGE "tulle.dev/proxy-image"
#define ANNOTATION_ACCESS_LOG "tulle.dev/access-log"
#define ANNOTATION_WORKERS "tulle.dev/workers"
#define ANNOTATION_SHUTDOWN_GRACE "tulle.dev/shutdown-grace"
#define ANNOTATION_STOP_DELAY "tulle.dev/stop-delay"
#define ANNOTATION_DETECT_TIMEOUT "tulle.dev/detect-timeout"
#define ANNOTATION_PATH_RULE "tulle.dev/path-rule"
#define ANNOTATION_TRACE_SAMPLING "tulle.dev/trace-sampling"

/* What the injector says on a pod: the version of what it added, or why it
 * added nothing. */
#define ANNOTATION_INJECTED "tulle.dev/injected"
#define ANNOTATION_NOT_INJECTED "tulle.dev/not-injected"
#define ANNOTATION_PREFIX "tulle.dev/"

/* The roots, in every namespace that may have meshed pods. */
#define TRUST_BUNDLE_NAME "tulle-trust-bundle" /* a ConfigMap */
#define TRUST_BUNDLE_KEY "bundle.pem"

/* The issuer that we make ourselves: a Secret of type kubernetes.io/tls. */
#define CA_SECRET "tulle-ca"
/* Who of the controllers writes. */
#define CONTROLLER_LEASE "tulle-controller"

/* The injector's webhook: the configuration (its caBundle is the leader's to
 * write), and the Secret with its serving certificate. */
#define WEBHOOK_NAME "tulle-injector"
#define WEBHOOK_SECRET "tulle-injector-serving"
#define WEBHOOK_SERVICE "tulle-injector"
/* Field manager of what the controller applies. */
#define FIELD_MANAGER "tulle-controller"

/* The containers that make a pod meshed, and their volumes. */
#define CONTAINER_PROXY "tulle-proxy"
#define CONTAINER_INIT "tulle-init"
#define VOLUME_TOKEN "tulle-token"
#define VOLUME_BUNDLE "tulle-bundle"
#define MOUNT_TOKEN "/var/run/secrets/tulle.dev/token"
#define MOUNT_BUNDLE "/var/run/secrets/tulle.dev/bundle"
#define FILE_TOKEN "token"

/* Ports of the proxy in a pod; an application must not take them. */
#define PORT_OUTBOUND 15001
#define PORT_INBOUND 15006
#define PORT_ADMIN 15020
#define PORT_HEALTH 15021

/* Kubernetes' own. */
#define LABEL_SERVICE_NAME "kubernetes.io/service-name" /* on EndpointSlices */
#define LABEL_NAMESPACE_NAME "kubernetes.io/metadata.name"
#define LABEL_ZONE "topology.kubernetes.io/zone"
#define LABEL_HEADLESS "service.kubernetes.io/headless"
#define LABEL_OS "kubernetes.io/os"
#define ANNOTATION_MIRROR "kubernetes.io/config.mirror" /* of a static pod */
#define ANNOTATION_DEFAULT_CONTAINER "kubectl.kubernetes.io/default-container"

/* TokenReview audience, and the last part of the controller's own name. */
#define AUDIENCE "tulle"

#endif
