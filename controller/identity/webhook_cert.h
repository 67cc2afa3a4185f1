/* SPDX-License-Identifier: Apache-2.0 */
/* The injector's serving certificate, in a Secret that the injectors watch, and
 * the roots in the webhook configuration, so that the API server believes it.
 * Both are written by the leader alone: made when missing, renewed at half of
 * their life, put right when edited or when the issuer changes. Of the
 * configuration only `caBundle` is ours (server-side apply): the chart owns the
 * rest, and never renders that field. */
#ifndef TULLE_CONTROLLER_IDENTITY_WEBHOOK_CERT_H
#define TULLE_CONTROLLER_IDENTITY_WEBHOOK_CERT_H

#include "controller/identity/authority.h"
#include "lib/kube/kube.h"

struct webhook_cert;

struct webhook_cert_options {
    slice ns;             /* release namespace; copied, as the next three */
    slice cluster_domain; /* "cluster.local" */
    slice trust_domain;
    slice webhook; /* name of the MutatingWebhookConfiguration */
    int64_t life;  /* of a certificate, seconds */
};

CHECKED enum status webhook_cert_start(struct webhook_cert **out,
                                       struct kube *k,
                                       const struct webhook_cert_options *opt,
                                       struct error *e);
/* Borrowed until the next call. */
void webhook_cert_set(struct webhook_cert *w, const struct authority *a);
void webhook_cert_lead(struct webhook_cert *w, bool leading);
/* Both are what they should be, and the API server has said so since `fresh`
 * (monotonic ns). */
bool webhook_cert_written(const struct webhook_cert *w, int64_t fresh);
/* NULL is ignored. */
void webhook_cert_close(struct webhook_cert *w);

#endif
