/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tls/tls_internal.h"

#include <openssl/err.h>
#include <openssl/sslerr.h>
#include <openssl/x509_vfy.h>

/* Phrases for logs and metrics: few, constant, without anything the peer wrote. */

struct phrase {
    int code;
    const char *text;
};

#define ALERT(name) (SSL_AD_REASON_OFFSET + SSL_AD_##name)

static const struct phrase tls_phrases[] = {
    {SSL_R_CERTIFICATE_VERIFY_FAILED, "certificate refused"},
    {SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE, "no certificate"},
    {SSL_R_NO_APPLICATION_PROTOCOL, "no common ALPN"},
    {SSL_R_UNSUPPORTED_PROTOCOL, "TLS version not supported"},
    {SSL_R_WRONG_VERSION_NUMBER, "not TLS"},
    {SSL_R_WRONG_SSL_VERSION, "not TLS"},
    {SSL_R_HTTP_REQUEST, "not TLS"},
    {SSL_R_HTTPS_PROXY_REQUEST, "not TLS"},
    {SSL_R_NO_SHARED_CIPHER, "no common cipher suite"},
    {SSL_R_NO_SUITABLE_KEY_SHARE, "no common group"},
    {SSL_R_NO_SUITABLE_GROUPS, "no common group"},
    {SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM, "no common signature algorithm"},
    {SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS, "no common signature algorithm"},
    {SSL_R_MISSING_SUPPORTED_GROUPS_EXTENSION, "no common group"},
    {SSL_R_MISSING_SIGALGS_EXTENSION, "no common signature algorithm"},
    {SSL_R_EXCESSIVE_MESSAGE_SIZE, "message too long"},
    {SSL_R_BAD_SIGNATURE, "wrong signature"},
    {SSL_R_WRONG_SIGNATURE_TYPE, "wrong signature"},
    {SSL_R_WRONG_CURVE, "wrong signature"},
    {SSL_R_DIGEST_CHECK_FAILED, "handshake was changed"},
    {SSL_R_UNEXPECTED_MESSAGE, "unexpected message"},
    {SSL_R_UNEXPECTED_RECORD, "unexpected message"},
    {SSL_R_UNEXPECTED_CCS_MESSAGE, "unexpected message"},
    {SSL_R_BAD_RECORD_TYPE, "unexpected message"},
    {SSL_R_TOO_MANY_WARN_ALERTS, "unexpected message"},
    {SSL_R_INVALID_CCS_MESSAGE, "bad message"},
    {SSL_R_INVALID_ALERT, "bad message"},
    {SSL_R_BAD_EXTENSION, "bad message"},
    {SSL_R_BAD_LENGTH, "bad message"},
    {SSL_R_BAD_DIGEST_LENGTH, "bad message"},
    {SSL_R_LENGTH_MISMATCH, "bad message"},
    {SSL_R_CERT_LENGTH_MISMATCH, "bad message"},
    {SSL_R_INVALID_CONTEXT, "bad message"},
    {SSL_R_INVALID_COMPRESSION_ALGORITHM, "bad message"},
    {SSL_R_INVALID_SESSION_ID, "bad message"},
    {SSL_R_BAD_ECPOINT, "bad message"},
    {SSL_R_BAD_KEY_SHARE, "bad message"},
    {SSL_R_WRONG_CIPHER_RETURNED, "bad message"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC, "record was changed"},
    {SSL_R_UNEXPECTED_EOF_WHILE_READING, "ended without closing"},
    {SSL_R_SESSION_ID_CONTEXT_UNINITIALIZED, "session does not fit"},
    {ALERT(UNEXPECTED_MESSAGE), "peer: unexpected message"},
    {ALERT(BAD_RECORD_MAC), "peer: record was changed"},
    {ALERT(RECORD_OVERFLOW), "peer: record too long"},
    {ALERT(HANDSHAKE_FAILURE), "peer refused the handshake"},
    {ALERT(BAD_CERTIFICATE), "peer refused our certificate"},
    {ALERT(UNSUPPORTED_CERTIFICATE), "peer refused our certificate"},
    {ALERT(CERTIFICATE_REVOKED), "peer refused our certificate"},
    {ALERT(CERTIFICATE_EXPIRED), "peer: our certificate expired"},
    {ALERT(CERTIFICATE_UNKNOWN), "peer refused our certificate"},
    {ALERT(ILLEGAL_PARAMETER), "peer: illegal parameter"},
    {ALERT(UNKNOWN_CA), "peer does not know our issuer"},
    {ALERT(ACCESS_DENIED), "peer denied access"},
    {ALERT(DECODE_ERROR), "peer: message not readable"},
    {ALERT(DECRYPT_ERROR), "peer: wrong signature"},
    {ALERT(PROTOCOL_VERSION), "peer: TLS version not supported"},
    {ALERT(INSUFFICIENT_SECURITY), "peer: insufficient security"},
    {ALERT(INTERNAL_ERROR), "peer: internal error"},
    {ALERT(USER_CANCELLED), "peer canceled"},
    {ALERT(MISSING_EXTENSION), "peer: missing extension"},
    {ALERT(UNRECOGNIZED_NAME), "peer: unknown server name"},
    {ALERT(CERTIFICATE_REQUIRED), "peer wants our certificate"},
    {ALERT(NO_APPLICATION_PROTOCOL), "peer: no common ALPN"},
};

static const struct phrase verify_phrases[] = {
    {X509_V_ERR_CERT_HAS_EXPIRED, "certificate expired"},
    {X509_V_ERR_CERT_NOT_YET_VALID, "certificate not yet valid"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, "unknown issuer"},
    {X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, "unknown issuer"},
    {X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, "unknown issuer"},
    {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, "unknown issuer"},
    {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, "unknown issuer"},
    {X509_V_ERR_CERT_UNTRUSTED, "unknown issuer"},
    {X509_V_ERR_CERT_REJECTED, "unknown issuer"},
    {X509_V_ERR_CERT_SIGNATURE_FAILURE, "wrong signature"},
    {X509_V_ERR_CERT_CHAIN_TOO_LONG, "certificate chain too long"},
    {X509_V_ERR_PATH_LENGTH_EXCEEDED, "certificate chain too long"},
    {X509_V_ERR_INVALID_CA, "issuer may not issue"},
    {X509_V_ERR_KEYUSAGE_NO_CERTSIGN, "issuer may not issue"},
    {X509_V_ERR_INVALID_PURPOSE, "wrong certificate purpose"},
    {X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION, "unknown critical extension"},
    {X509_V_ERR_EE_KEY_TOO_SMALL, "weak certificate"},
    {X509_V_ERR_CA_KEY_TOO_SMALL, "weak certificate"},
    {X509_V_ERR_CA_MD_TOO_WEAK, "weak certificate"},
};

static const char *find(const struct phrase *at, size_t n, int code,
                        const char *otherwise)
{
    for (size_t i = 0; i < n; i++)
        if (at[i].code == code)
            return at[i].text;
    return otherwise;
}

const char *tls_reason_text(unsigned long err)
{
    if (err == 0)
        return "handshake failed";
    if (ERR_SYSTEM_ERROR(err))
        return "connection failed";
    if (ERR_GET_LIB(err) == ERR_LIB_ASN1)
        return "bad certificate";
    if (ERR_GET_LIB(err) != ERR_LIB_SSL)
        return "cryptographic failure";
    return find(tls_phrases, sizeof tls_phrases / sizeof *tls_phrases,
                ERR_GET_REASON(err), "handshake failed");
}

const char *tls_reason_verify(int code)
{
    return find(verify_phrases, sizeof verify_phrases / sizeof *verify_phrases,
                code, "bad certificate");
}
