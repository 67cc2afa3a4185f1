/* SPDX-License-Identifier: Apache-2.0 */
#include "controller/watch/watches.h"

const struct watched watches[RECORD_KINDS] = {
    [RECORD_NAMESPACE] = {RECORD_NAMESPACE, "v1", "Namespace",
                          "/api/v1/namespaces", decode_namespace},
    [RECORD_SERVICE] = {RECORD_SERVICE, "v1", "Service", "/api/v1/services",
                        decode_service},
    [RECORD_SLICE] = {RECORD_SLICE, "discovery.k8s.io/v1", "EndpointSlice",
                      "/apis/discovery.k8s.io/v1/endpointslices",
                      decode_endpoint_slice},
    [RECORD_POD] = {RECORD_POD, "v1", "Pod", "/api/v1/pods", decode_pod},
};

const struct watched *watched_find(slice api_version, slice kind)
{
    for (size_t i = 0; i < RECORD_KINDS; i++)
        if (slice_eq(slice_str(watches[i].kind), kind) &&
            slice_eq(slice_str(watches[i].api_version), api_version))
            return &watches[i];
    return NULL;
}
