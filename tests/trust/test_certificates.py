"""Certificates: what is issued, what is read, and that a real TLS 1.3 handshake accepts them and nothing else."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from trust.certificates import (
    create_authority,
    issue,
    issue_server,
    make_csr,
    parse_identity,
    renewal_due,
    verify_current,
    verify_issued_by,
)
from trust.errors import CertificateRejected

NOW = datetime.now(UTC).replace(microsecond=0)
KEY, AUTHORITY = create_authority("Xinqiao test authority", lambda: NOW)
OTHER_KEY, OTHER_AUTHORITY = create_authority("Xinqiao test authority", lambda: NOW)
NODE_KEY, NODE_CSR = make_csr("tax-1")
NODE = issue(KEY, AUTHORITY, NODE_CSR, member_id="tax-bureau", node_id="tax-1", now=NOW)
SERVER_KEY, SERVER = issue_server(KEY, AUTHORITY, ["hub.example", "127.0.0.1"], NOW)


def test_an_issued_certificate_names_its_node() -> None:
    identity = parse_identity(NODE)
    certificate = x509.load_pem_x509_certificate(NODE)
    assert (identity.member_id, identity.node_id) == ("tax-bureau", "tax-1")
    assert identity.not_before == NOW - timedelta(minutes=5)
    assert identity.not_after == NOW + timedelta(days=30)
    assert identity.serial == f"{certificate.serial_number:x}"
    assert identity.fingerprint == certificate.fingerprint(hashes.SHA256()).hex()
    verify_issued_by(NODE, AUTHORITY)


def test_an_issued_certificate_is_for_the_key_of_the_request_and_for_clients_only() -> None:
    certificate = x509.load_pem_x509_certificate(NODE)
    key = serialization.load_pem_private_key(NODE_KEY, None)
    assert certificate.public_key() == key.public_key()
    extensions = certificate.extensions
    assert list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert not extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert not extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign


def test_two_certificates_for_one_request_have_different_serials() -> None:
    again = issue(KEY, AUTHORITY, NODE_CSR, member_id="tax-bureau", node_id="tax-1", now=NOW)
    assert parse_identity(again).serial != parse_identity(NODE).serial


def test_a_certificate_of_another_authority_of_the_same_name_is_rejected() -> None:
    foreign = issue(OTHER_KEY, OTHER_AUTHORITY, NODE_CSR, member_id="tax-bureau", node_id="tax-1", now=NOW)
    with pytest.raises(CertificateRejected, match="not from the authority"):
        verify_issued_by(foreign, AUTHORITY)


def test_a_node_cannot_issue() -> None:
    with pytest.raises(CertificateRejected, match="may not issue"):
        issue(NODE_KEY, NODE, NODE_CSR, member_id="tax-bureau", node_id="tax-1", now=NOW)
    with pytest.raises(CertificateRejected, match="may not issue"):
        verify_issued_by(NODE, NODE)


def test_an_authority_with_the_key_of_another_does_not_issue() -> None:
    with pytest.raises(CertificateRejected, match="do not belong together"):
        issue(OTHER_KEY, AUTHORITY, NODE_CSR, member_id="tax-bureau", node_id="tax-1", now=NOW)


def test_a_request_in_the_name_of_another_node_is_rejected() -> None:
    with pytest.raises(CertificateRejected, match="for node 'tax-1', not 'bank-1'"):
        issue(KEY, AUTHORITY, NODE_CSR, member_id="bank", node_id="bank-1", now=NOW)


def csr_by(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, *names: str) -> bytes:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM)


def with_another_key_inside(csr_pem: bytes) -> bytes:
    """The request with its public key replaced, so that its signature no longer is by the key that it names."""
    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    request = x509.load_pem_x509_csr(csr_pem)
    other = ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(*form)
    encoded = request.public_bytes(serialization.Encoding.DER).replace(request.public_key().public_bytes(*form), other)
    return x509.load_der_x509_csr(encoded).public_bytes(serialization.Encoding.PEM)


BAD_REQUESTS = {
    "empty": b"",
    "not PEM": b"hello",
    "a certificate": NODE,
    "cut": NODE_CSR[:200],
    "signed by another key": with_another_key_inside(NODE_CSR),
    "RSA key": csr_by(rsa.generate_private_key(65537, 2048), "tax-1"),
    "another curve": csr_by(ec.generate_private_key(ec.SECP384R1()), "tax-1"),
    "no name": csr_by(ec.generate_private_key(ec.SECP256R1())),
    "two names": csr_by(ec.generate_private_key(ec.SECP256R1()), "tax-1", "tax-1"),
}


@pytest.mark.parametrize("name", BAD_REQUESTS)
def test_a_bad_request_is_rejected_by_our_own_error(name: str) -> None:
    with pytest.raises(CertificateRejected):
        issue(KEY, AUTHORITY, BAD_REQUESTS[name], member_id="tax-bureau", node_id="tax-1", now=NOW)


@pytest.mark.parametrize("name", ["", "a/b", "A", "信桥", "a b", "-a", "a-", "x" * 65, "a\n", "xinqiao://a"])
def test_an_id_that_could_be_mistaken_is_rejected(name: str) -> None:
    with pytest.raises(CertificateRejected, match="cannot stand"):
        issue(KEY, AUTHORITY, NODE_CSR, member_id=name, node_id="tax-1", now=NOW)
    with pytest.raises(CertificateRejected, match="cannot stand"):
        make_csr(name)


@pytest.mark.parametrize("lifetime", [timedelta(0), timedelta(days=-1), timedelta(days=4000)])
def test_a_lifetime_that_makes_no_sense_is_rejected(lifetime: timedelta) -> None:
    with pytest.raises(CertificateRejected, match="outlive"):
        issue(KEY, AUTHORITY, NODE_CSR, member_id="tax-bureau", node_id="tax-1", now=NOW, lifetime=lifetime)


def forged(*names: x509.GeneralName, purposes: tuple[x509.ObjectIdentifier, ...], ca: bool = False) -> bytes:
    """A certificate with what an authority of ours would never put into one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if purposes:
        builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)
URI = x509.UniformResourceIdentifier
ME = URI("xinqiao://bank/bank-1")
NOT_NODES = {
    "empty": b"",
    "not PEM": b"hello",
    "cut": NODE[:300],
    "the authority": AUTHORITY,
    "a server": SERVER,
    "no names": forged(purposes=CLIENT),
    "no purpose": forged(ME, purposes=()),
    "for servers too": forged(ME, purposes=(*CLIENT, ExtendedKeyUsageOID.SERVER_AUTH)),
    "an authority with a node's name": forged(ME, purposes=CLIENT, ca=True),
    "two nodes": forged(ME, URI("xinqiao://bank/bank-2"), purposes=CLIENT),
    "a node and a host": forged(ME, x509.DNSName("hub.example"), purposes=CLIENT),
    "a host only": forged(x509.DNSName("hub.example"), purposes=CLIENT),
    "another scheme": forged(URI("spiffe://bank/bank-1"), purposes=CLIENT),
    "a third part": forged(URI("xinqiao://bank/bank-1/x"), purposes=CLIENT),
    "no node": forged(URI("xinqiao://bank/"), purposes=CLIENT),
    "no member": forged(URI("xinqiao:///bank-1"), purposes=CLIENT),
    "capitals": forged(URI("xinqiao://Bank/bank-1"), purposes=CLIENT),
}


def test_the_forger_of_these_tests_can_make_a_readable_one() -> None:
    assert parse_identity(forged(ME, purposes=CLIENT)).node_id == "bank-1"


@pytest.mark.parametrize("name", NOT_NODES)
def test_a_certificate_that_is_not_exactly_a_nodes_is_rejected(name: str) -> None:
    with pytest.raises(CertificateRejected):
        parse_identity(NOT_NODES[name])


def test_every_flipped_bit_of_the_signed_part_is_rejected() -> None:
    certificate = x509.load_pem_x509_certificate(NODE)
    encoded = certificate.public_bytes(serialization.Encoding.DER)
    start = encoded.index(certificate.tbs_certificate_bytes)
    for at in range(start, start + len(certificate.tbs_certificate_bytes), 7):
        changed = bytearray(encoded)
        changed[at] ^= 1
        with pytest.raises(CertificateRejected):
            verify_issued_by(ssl.DER_cert_to_PEM_cert(bytes(changed)).encode(), AUTHORITY)


def test_renewal_is_due_once_a_third_of_the_life_has_passed() -> None:
    identity = parse_identity(NODE)
    third = identity.not_before + (identity.not_after - identity.not_before) / 3
    assert not renewal_due(identity, third - timedelta(seconds=1))
    assert renewal_due(identity, third)
    assert renewal_due(identity, identity.not_after + timedelta(days=1))


def test_time_is_checked_and_the_clock_is_named() -> None:
    identity = parse_identity(NODE)
    verify_current(identity, NOW)
    verify_current(identity, identity.not_after)
    with pytest.raises(CertificateRejected, match="a clock is wrong"):
        verify_current(identity, identity.not_before - timedelta(seconds=1))
    with pytest.raises(CertificateRejected, match="ended at"):
        verify_current(identity, identity.not_after + timedelta(seconds=1))


@pytest.mark.parametrize("names", [[], ["a b"], ["-x"], ["http://hub"], ["信桥"]])
def test_a_server_without_a_proper_name_gets_no_certificate(names: list[str]) -> None:
    with pytest.raises(CertificateRejected, match="name the hub's"):
        issue_server(KEY, AUTHORITY, names, NOW)


@pytest.mark.parametrize("key", [b"", b"hello", KEY[:100]], ids=["empty", "text", "truncated"])
def test_a_damaged_authority_key_is_named_without_being_quoted(key: bytes) -> None:
    with pytest.raises(CertificateRejected, match="cannot be read") as caught:
        issue_server(key, AUTHORITY, ["localhost"], NOW)
    assert "PRIVATE" not in str(caught.value)


def tls(tmp_path: Path, *, client: tuple[bytes, bytes] | None, trusted: bytes, host: str) -> None:
    """Run a TLS 1.3 handshake in memory; the server demands a certificate of `AUTHORITY`."""

    def chain(context: ssl.SSLContext, pair: tuple[bytes, bytes], name: str) -> None:
        (tmp_path / f"{name}.pem").write_bytes(pair[1] + pair[0])
        context.load_cert_chain(tmp_path / f"{name}.pem")

    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.minimum_version = ssl.TLSVersion.TLSv1_3
    server.verify_mode = ssl.CERT_REQUIRED
    server.load_verify_locations(cadata=AUTHORITY.decode())
    chain(server, (SERVER_KEY, SERVER), "server")
    agent = ssl.create_default_context(cadata=trusted.decode())
    agent.verify_flags |= ssl.VERIFY_X509_STRICT
    if client is not None:
        chain(agent, client, "client")
    forth, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [server.wrap_bio(forth, back, server_side=True), agent.wrap_bio(back, forth, server_hostname=host)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
    ends[1].write(b"ping")
    assert ends[0].read(4) == b"ping"


@pytest.mark.parametrize("host", ["hub.example", "127.0.0.1"])
def test_mutual_tls_accepts_what_was_issued(tmp_path: Path, host: str) -> None:
    tls(tmp_path, client=(NODE_KEY, NODE), trusted=AUTHORITY, host=host)


def test_mutual_tls_refuses_everything_else(tmp_path: Path) -> None:
    foreign = issue(OTHER_KEY, OTHER_AUTHORITY, NODE_CSR, member_id="tax-bureau", node_id="tax-1", now=NOW)
    old = issue(KEY, AUTHORITY, NODE_CSR, member_id="tax-bureau", node_id="tax-1", now=NOW - timedelta(days=31))
    good = (NODE_KEY, NODE)
    for client, trusted, host in (
        (None, AUTHORITY, "hub.example"),
        ((NODE_KEY, foreign), AUTHORITY, "hub.example"),
        ((NODE_KEY, old), AUTHORITY, "hub.example"),
        ((SERVER_KEY, SERVER), AUTHORITY, "hub.example"),
        (good, OTHER_AUTHORITY, "hub.example"),
        (good, AUTHORITY, "other.example"),
    ):
        with pytest.raises(ssl.SSLError):
            tls(tmp_path, client=client, trusted=trusted, host=host)
