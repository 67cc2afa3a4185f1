/* SPDX-License-Identifier: Apache-2.0 */
/* Where the API server is, and how we prove who we are: as a pod's service
 * account, or by a kubeconfig file. Read once; tokens are read anew from their
 * file when they may have changed (kubelets rotate them). */
#ifndef TULLE_KUBE_ACCESS_H
#define TULLE_KUBE_ACCESS_H

#include "lib/base/slice.h"

struct kube_access;

/* KUBERNETES_SERVICE_HOST and _PORT, and the service account's token and CA
 * below /var/run/secrets/kubernetes.io/serviceaccount. ERR_NOT_FOUND outside of
 * a cluster. Gives it. */
CHECKED enum status kube_access_in_cluster(struct kube_access **out,
                                           struct error *e);
/* The current context of a kubeconfig file: server, certificate authority (file
 * or data), client certificate and key (file or data), token or tokenFile.
 * ERR_INVALID with file and line; exec plugins and passwords are refused with a
 * sentence. Gives it. */
CHECKED enum status kube_access_kubeconfig(struct kube_access **out, slice path,
                                           struct error *e);
/* Wipes secrets. NULL is ignored. */
void kube_access_free(struct kube_access *a);

/* "https://10.96.0.1:443", without a slash at the end. Borrows. */
slice kube_access_server(const struct kube_access *a);
/* The service account's namespace, or the context's; "default" when neither
 * says it. Borrows. */
slice kube_access_namespace(const struct kube_access *a);

#endif
