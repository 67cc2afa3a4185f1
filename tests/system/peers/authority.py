# SPDX-License-Identifier: Apache-2.0
"""A certificate authority that signs whatever a test asks for: with a root of
its own, or with the mesh's."""
import datetime
import os

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HOUR = datetime.timedelta(hours=1)
BOTH = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH)
SERVER_ONLY = (ExtendedKeyUsageOID.SERVER_AUTH,)
CLIENT_ONLY = (ExtendedKeyUsageOID.CLIENT_AUTH,)


def uri(text):
    return x509.UniformResourceIdentifier(text)


def dns(text):
    return x509.DNSName(text)


def _name(text):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)]
                     if text else [])


def _usage(signs_data, signs_certificates):
    return x509.KeyUsage(
        digital_signature=signs_data, key_cert_sign=signs_certificates,
        crl_sign=signs_certificates, content_commitment=False,
        key_encipherment=False, data_encipherment=False,
        key_agreement=not (signs_data or signs_certificates),
        encipher_only=False, decipher_only=False)


def _pem(cert):
    return cert.public_bytes(serialization.Encoding.PEM)


class Authority:
    """A certificate and its key, and those above it."""

    def __init__(self, cert, key, above=()):
        self.cert, self.key, self.above = cert, key, list(above)

    @classmethod
    def stranger(cls, age=HOUR, left=HOUR, name_in_san=None, called=None):
        """`called`: the name of another authority that it takes."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        name = called or _name("not the mesh")
        cert = (x509.CertificateBuilder()
                .subject_name(name).issuer_name(name)
                .public_key(key.public_key())
                .serial_number(x509.random_serial_number())
                .not_valid_before(now - age).not_valid_after(now + left)
                .add_extension(x509.BasicConstraints(True, None), True)
                .add_extension(_usage(False, True), True)
                .add_extension(x509.SubjectKeyIdentifier.from_public_key(
                    key.public_key()), False))
        if name_in_san:
            cert = cert.add_extension(x509.SubjectAlternativeName(
                [uri(name_in_san)]), False)
        return cls(cert.sign(key, hashes.SHA256()), key)

    @classmethod
    def of_mesh(cls, state):
        """The controller's own root, from its folder."""
        with open(f"{state}/ca.pem", "rb") as f:
            cert = x509.load_pem_x509_certificate(f.read())
        with open(f"{state}/ca-key.pem", "rb") as f:
            key = serialization.load_pem_private_key(f.read(), None)
        return cls(cert, key)

    # pylint: disable=too-many-arguments
    def sign(self, names, *, common_name=None, start=-HOUR, end=HOUR,
             purposes=BOTH, is_authority=False, signs_data=True,
             signs_certificates=None, second_names=None):
        """A leaf with these subject alternative names, and twists.
        `signs_certificates`: as `is_authority`, where nothing is said."""
        key = ec.generate_private_key(ec.SECP256R1())
        now = datetime.datetime.now(datetime.timezone.utc)
        if signs_certificates is None:
            signs_certificates = is_authority
        b = (x509.CertificateBuilder()
             .subject_name(_name(common_name))
             .issuer_name(self.cert.subject)
             .public_key(key.public_key())
             .serial_number(x509.random_serial_number())
             .not_valid_before(now + start).not_valid_after(now + end)
             .add_extension(x509.BasicConstraints(is_authority, None), True)
             .add_extension(_usage(signs_data, signs_certificates), True)
             .add_extension(
                 x509.AuthorityKeyIdentifier.from_issuer_public_key(
                     self.key.public_key()), False))
        if is_authority:
            b = b.add_extension(x509.SubjectKeyIdentifier.from_public_key(
                key.public_key()), False)
        if purposes:
            b = b.add_extension(x509.ExtendedKeyUsage(purposes), False)
        if names:
            b = b.add_extension(x509.SubjectAlternativeName(names), True)
        if second_names:
            # The same extension again, which the library refuses to write.
            san = x509.SubjectAlternativeName(second_names)
            b = x509.CertificateBuilder(
                b._issuer_name, b._subject_name, b._public_key,
                b._serial_number, b._not_valid_before, b._not_valid_after,
                [*b._extensions, x509.Extension(san.oid, True, san)])
        cert = b.sign(self.key, hashes.SHA256())
        return Authority(cert, key, [self.cert, *self.above])

    def middle(self, called="middle"):
        """An authority below this one."""
        return self.sign([], common_name=called, is_authority=True)

    def below(self, *above):
        """The same, which shows these above it; the last is never shown."""
        return Authority(self.cert, self.key, above)

    def save(self, folder, trust):
        """As scripts/pair's certs folder: client.crt with what is above it,
        client.key, and `trust`, the text of bundle.pem."""
        os.makedirs(folder, exist_ok=True)
        with open(f"{folder}/client.crt", "wb") as f:
            f.write(b"".join(map(_pem, [self.cert, *self.above[:-1]])))
        with open(f"{folder}/client.key", "wb") as f:
            f.write(self.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption()))
        with open(f"{folder}/bundle.pem", "w", encoding="ascii") as f:
            f.write(trust)
        return folder
