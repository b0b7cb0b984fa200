"""X.509 certificates for mutual TLS between agents and hub.

The keys here are ECDSA on P-256, not SM2: gRPC's TLS (BoringSSL) knows neither SM2 certificates nor the SM
cipher suites of RFC 8998. TLS only guards the way to the hub; what must stay secret from the hub is under SM2
and SM4 inside.

Rules:
1. The authority issues for a request only if its signature holds, its key is P-256, and it asks for the very
   node.
2. A node's identity is one SAN URI `xinqiao://<member>/<node>`; subject names are for people and never read.
3. A node's certificate serves as a client only, a server's as a server only; neither may issue others.
4. Certificates are short-lived (30 days) and renewed after a third of their life; they begin 5 minutes in the
   past, which is the clock difference between two machines that is tolerated.
5. `parse_identity` reads; it proves nothing. `verify_issued_by` proves who issued, `verify_current` that it
   is in time.

Source: RFC 5280. Times are aware `datetime`s in UTC.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trust.errors import CertificateRejected

LIFETIME: Final = timedelta(days=30)
AUTHORITY_LIFETIME: Final = timedelta(days=3650)
BACKDATED: Final = timedelta(minutes=5)
SCHEME: Final = "xinqiao://"

_ID: Final = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?"
_ID_PATTERN: Final = re.compile(_ID, re.ASCII)
_URI_PATTERN: Final = re.compile(rf"{SCHEME}({_ID})/({_ID})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeIdentity:
    """Who a node's certificate names, and for how long.

    `serial` and `fingerprint` (SHA-256 of the DER, as TLS tools print it) are lower-case hex.
    """

    member_id: str
    node_id: str
    serial: str
    not_before: datetime
    not_after: datetime
    fingerprint: str


def create_authority(name: str, clock: Callable[[], datetime]) -> tuple[bytes, bytes]:
    """Make the hub's authority, valid for ten years: PEM of its private key and of its certificate.

    The key is not encrypted: put it into a vault (`trust.vault`) or a file of mode 0600.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    usage = _key_usage(signs_certificates=True)
    builder = (
        _builder(subject, subject, key.public_key(), clock(), AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return _private_pem(key), _pem(builder.sign(key, hashes.SHA256()))


def make_csr(node_id: str) -> tuple[bytes, bytes]:
    """Make a node's TLS key and the request for its certificate, both PEM. The key stays on the node.

    Raises CertificateRejected for an id that is not 1 to 64 lower-case letters, digits, dots, dashes,
    underscores.
    """
    _check_id(node_id)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, node_id)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return _private_pem(key), request.public_bytes(serialization.Encoding.PEM)


def issue(
    authority_key: bytes,
    authority_cert: bytes,
    csr_pem: bytes,
    *,
    member_id: str,
    node_id: str,
    now: datetime,
    lifetime: timedelta = LIFETIME,
) -> bytes:
    """Issue a node's certificate (PEM) for a request; the caller has established who asks.

    Of the request only the key is taken, nothing that it asks for. Raises CertificateRejected for a bad
    request, an id out of form, or a request in another node's name.
    """
    _check_id(member_id)
    _check_id(node_id)
    request_key, requested = _read_csr(csr_pem)
    if requested != node_id:
        raise CertificateRejected(f"the request is for node {requested[:64]!r}, not {node_id!r}; make a new one")
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"{SCHEME}{member_id}/{node_id}")])
    return _issue_leaf(
        authority_key,
        authority_cert,
        request_key,
        common_name=node_id,
        names=names,
        purpose=ExtendedKeyUsageOID.CLIENT_AUTH,
        now=now,
        lifetime=lifetime,
    )


def issue_server(
    authority_key: bytes,
    authority_cert: bytes,
    names: Sequence[str],
    now: datetime,
    lifetime: timedelta = LIFETIME,
) -> tuple[bytes, bytes]:
    """Make a key and a certificate for the hub's TLS endpoint (both PEM).

    `names` are its host names and IP addresses. Raises CertificateRejected without one,
    or for one that cannot be a host.
    """
    if not names:
        raise CertificateRejected("a server certificate needs at least one host name or address; name the hub's")
    key = ec.generate_private_key(ec.SECP256R1())
    hosts = x509.SubjectAlternativeName([_host(name) for name in names])
    certificate = _issue_leaf(
        authority_key,
        authority_cert,
        key.public_key(),
        common_name=names[0],
        names=hosts,
        purpose=ExtendedKeyUsageOID.SERVER_AUTH,
        now=now,
        lifetime=lifetime,
    )
    return _private_pem(key), certificate


def parse_identity(cert_pem: bytes) -> NodeIdentity:
    """Read the node that a client certificate names.

    Proves nothing by itself (TLS or `verify_issued_by` does).

    Raises CertificateRejected for bytes that are no certificate, for a server's or an authority's, and for
    any number of identities but one.
    """
    certificate = _read_certificate(cert_pem)
    try:
        purposes = list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        names = list(certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError) as problem:
        raise CertificateRejected(f"a certificate is not a node's ({problem}); enrol the node with the hub") from None
    if purposes != [ExtendedKeyUsageOID.CLIENT_AUTH] or constraints.ca:
        raise CertificateRejected("a certificate is not for a client of the hub; enrol the node with the hub")
    uri = names[0].value if len(names) == 1 and isinstance(names[0], x509.UniformResourceIdentifier) else ""
    match = _URI_PATTERN.fullmatch(uri)
    if match is None:
        raise CertificateRejected(f"a certificate does not name one node as {SCHEME}<member>/<node>; enrol the node")
    return NodeIdentity(
        member_id=match[1],
        node_id=match[2],
        serial=f"{certificate.serial_number:x}",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def renewal_due(identity: NodeIdentity, now: datetime) -> bool:
    """Whether a third of the certificate's life has passed, so that it should be renewed now."""
    return now >= identity.not_before + (identity.not_after - identity.not_before) / 3


def verify_current(identity: NodeIdentity, now: datetime) -> None:
    """Check that a certificate is in time.

    Raises CertificateRejected, naming the clock where it may be the cause.
    """
    if now < identity.not_before:
        raise CertificateRejected(
            f"the certificate of {identity.node_id} begins at {identity.not_before.isoformat()}, and it is "
            f"{now.isoformat()} here: a clock is wrong, compare it with a time server"
        )
    if now > identity.not_after:
        raise CertificateRejected(
            f"the certificate of {identity.node_id} ended at {identity.not_after.isoformat()}; enrol the "
            "node again, or "
            f"set the clock if {now.isoformat()} is wrong"
        )


def verify_issued_by(cert_pem: bytes, authority_cert: bytes) -> None:
    """Check that this authority signed this certificate. Says nothing about time (`verify_current`).

    Raises CertificateRejected.
    """
    certificate, authority = _read_certificate(cert_pem), _read_authority(authority_cert)
    try:
        certificate.verify_directly_issued_by(authority)
    except (InvalidSignature, ValueError, TypeError) as problem:
        raise CertificateRejected(
            "a certificate is not from the authority that is pinned here; enrol with this hub, or compare fingerprints"
        ) from problem


def _issue_leaf(
    authority_key: bytes,
    authority_cert: bytes,
    public_key: ec.EllipticCurvePublicKey,
    *,
    common_name: str,
    names: x509.SubjectAlternativeName,
    purpose: x509.ObjectIdentifier,
    now: datetime,
    lifetime: timedelta,
) -> bytes:
    authority, key = _read_authority(authority_cert), _read_private_key(authority_key)
    if key.public_key() != authority.public_key():
        raise CertificateRejected("the authority's key and certificate do not belong together; restore both together")
    if lifetime <= timedelta(0) or now + lifetime > authority.not_valid_after_utc:
        raise CertificateRejected(
            "the certificate would outlive its authority or never live; renew the authority first"
        )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:64])])
    builder = (
        _builder(subject, authority.subject, public_key, now, lifetime)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=True)
        .add_extension(names, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return _pem(builder.sign(key, hashes.SHA256()))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + lifetime)
    )


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        pass
    if not re.fullmatch(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?", name, re.ASCII):
        raise CertificateRejected(f"{name[:64]!r} is neither a host name nor an address; name the hub's") from None
    return x509.DNSName(name)


def _check_id(name: str) -> None:
    if not _ID_PATTERN.fullmatch(name):
        raise CertificateRejected(
            f"the id {name[:64]!r} cannot stand in a certificate; use 1 to 64 of a-z 0-9 . _ - and begin and "
            "end with "
            "a letter or digit"
        )


def _read_csr(csr_pem: bytes) -> tuple[ec.EllipticCurvePublicKey, str]:
    try:
        request = x509.load_pem_x509_csr(csr_pem)
        valid = request.is_signature_valid
        key = request.public_key()
        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as problem:
        raise CertificateRejected(f"a certificate request cannot be read ({problem}); make a new one") from None
    if not valid:
        raise CertificateRejected("a certificate request is not signed by the key that it names; make a new one")
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise CertificateRejected("a certificate request names a key that is not on P-256; make a new one")
    if len(names) != 1:
        raise CertificateRejected("a certificate request does not name one node; make a new one")
    return key, str(names[0].value)


def _read_certificate(cert_pem: bytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(cert_pem)
    except (ValueError, TypeError) as problem:
        raise CertificateRejected(f"bytes are not a certificate in PEM ({problem}); enrol the node again") from None


def _read_authority(authority_cert: bytes) -> x509.Certificate:
    certificate = _read_certificate(authority_cert)
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        raise CertificateRejected(
            "the pinned authority's certificate may not issue others; pin the hub's own"
        ) from None
    if not constraints.ca:
        raise CertificateRejected("the pinned authority's certificate may not issue others; pin the hub's own")
    return certificate


def _read_private_key(key_pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(key_pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without the cause: a parser's message may quote what it could not read, and this is a private key.
        raise CertificateRejected("the authority's private key cannot be read; restore it from a backup") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateRejected("the authority's private key is not an elliptic-curve key; restore it from a backup")
    return key


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, form, serialization.NoEncryption())


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
