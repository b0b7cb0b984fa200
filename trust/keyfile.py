"""Private SM2 keys on disk: a PKCS#8-style encrypted PEM file under a passphrase or a secret file.

Rules:
1. A key file is written whole or not at all (temporary file, fsync, link), with mode 0600, and never over
   another.
2. It is read only if nobody but its owner may read it, and only in its one encoding, down to the line breaks.
3. The key is SM4-GCM under scrypt of the secret; algorithm, cost, salt and nonce are authenticated with it,
   and the cost is bounded on reading, so that a planted file can neither weaken the derivation nor exhaust
   the memory.
4. Public and private half are stored together and are tried against each other when loaded.

The encoding is EncryptedPrivateKeyInfo with PBES2 (RFC 5958, RFC 8018), scrypt (RFC 7914, 7) and SM4-GCM (RFC
5084 parameters), around an ECPrivateKey on the SM2 curve. "PKCS#8-style" because of the associated data:
other tools can read the structure, and refuse the ciphertext.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import stat
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from trust import der
from trust.errors import DecryptionFailed, KeyFileError, KeyMalformed, WrongPassphrase
from trust.sm2 import POINT_SIZE, SECRET_SIZE, PrivateKey, PublicKey, verify_pair
from trust.suite import KEY_SIZE, NONCE_SIZE, TAG_SIZE, open_sealed, seal

DEFAULT_COST: Final = 2**15
MIN_PASSPHRASE: Final = 8
MIN_SECRET_FILE: Final = 16
MAX_FILE: Final = 8192

_MIN_COST, _MAX_COST = 2**14, 2**20
_BLOCK_SIZE, _PARALLEL = 8, 1
_SALT_SIZE: Final = 16
_BEGIN: Final = "-----BEGIN ENCRYPTED PRIVATE KEY-----\n"
_END: Final = "-----END ENCRYPTED PRIVATE KEY-----\n"

_PBES2: Final = der.element(der.OBJECT_IDENTIFIER, bytes.fromhex("2a864886f70d01050d"))
_SCRYPT: Final = der.element(der.OBJECT_IDENTIFIER, bytes.fromhex("2b06010401da47040b"))
_SM4_GCM: Final = der.element(der.OBJECT_IDENTIFIER, bytes.fromhex("2a811ccf55016808"))
_EC_KEY: Final = der.element(der.OBJECT_IDENTIFIER, bytes.fromhex("2a8648ce3d0201"))
_SM2_CURVE: Final = der.element(der.OBJECT_IDENTIFIER, bytes.fromhex("2a811ccf5501822d"))
_PRIVATE_HEAD: Final = der.integer(0) + der.element(der.SEQUENCE, _EC_KEY, _SM2_CURVE)


def secret_from_passphrase(passphrase: str) -> bytes:
    """Turn a typed passphrase into the secret of a key file: NFKC, then UTF-8.

    Normalised, so that every keyboard gives the same. Raises KeyFileError below 8 characters.
    """
    if len(passphrase) < MIN_PASSPHRASE:
        raise KeyFileError(f"the passphrase has fewer than {MIN_PASSPHRASE} characters; choose a longer one")
    return unicodedata.normalize("NFKC", passphrase).encode()


def secret_from_file(path: Path) -> bytes:
    """Read the secret of a key file from another file.

    It has at least 16 bytes, and a line break at the end does not count. Raises KeyFileError if it is
    missing, too short, or readable by others.
    """
    secret = read_protected(path).rstrip(b"\r\n")
    if len(secret) < MIN_SECRET_FILE:
        raise KeyFileError(f"the secret in {path} has fewer than {MIN_SECRET_FILE} bytes; put random bytes there")
    return secret


def save_private_key(
    path: Path,
    key: PrivateKey,
    secret: bytes,
    *,
    cost: int = DEFAULT_COST,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> None:
    """Write a key to a new file that only its owner may read.

    `cost` is scrypt's N: a power of two from 2^14 to 2^20 (2^15 takes 32 MiB and some 0.1 s). Raises
    KeyFileError if the file exists or cannot be written.
    """
    write_protected(path, encode_private_key(key, secret, cost=cost, random=random))


def load_private_key(path: Path, secret: bytes) -> PrivateKey:
    """Read a key file.

    Raises KeyFileError if it is missing, damaged or readable by others, WrongPassphrase if the secret does
    not open it.
    """
    return decode_private_key(read_protected(path), secret, name=str(path))


def encode_private_key(
    key: PrivateKey,
    secret: bytes,
    *,
    cost: int = DEFAULT_COST,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> bytes:
    """Return the content of a key file.

    Raises ValueError for a cost that is not a power of two in its bounds.
    """
    if not _is_cost(cost):
        raise ValueError(f"the scrypt cost is a power of two from {_MIN_COST} to {_MAX_COST}, not {cost}")
    salt, nonce = random(_SALT_SIZE), random(NONCE_SIZE)
    algorithm = _algorithm(cost, salt, nonce)
    public = der.element(der.CONTEXT_1, der.element(der.BIT_STRING, b"\x00\x04", key.public.point))
    private = der.element(der.SEQUENCE, der.integer(1), der.element(der.OCTET_STRING, key.secret), public)
    inner = der.element(der.SEQUENCE, _PRIVATE_HEAD, der.element(der.OCTET_STRING, private))
    sealed = seal(_derive(secret, salt, cost), nonce, inner, algorithm)
    return _to_pem(der.element(der.SEQUENCE, algorithm, der.element(der.OCTET_STRING, sealed)))


def decode_private_key(content: bytes, secret: bytes, *, name: str = "a key file") -> PrivateKey:
    """Open the content of a key file; `name` says in errors which one.

    Raises KeyFileError, WrongPassphrase.
    """
    try:
        cost, salt, nonce, sealed = _read_outer(_from_pem(content))
    except der.DerMalformed as problem:
        raise KeyFileError(f"{name} is damaged ({problem}); restore it from a backup") from None
    try:
        inner = open_sealed(_derive(secret, salt, cost), nonce, sealed, _algorithm(cost, salt, nonce))
    except DecryptionFailed:
        raise WrongPassphrase(
            f"{name} does not open: the passphrase is another one, or the file was altered; try again or restore it"
        ) from None
    try:
        key = _read_inner(inner)
        verify_pair(key)
    except (der.DerMalformed, KeyMalformed) as problem:
        raise KeyFileError(f"{name} opens but holds no usable key ({problem}); restore it from a backup") from None
    return key


def write_protected(path: Path, content: bytes) -> None:
    """Write a new file with mode 0600, whole or not at all.

    Raises KeyFileError if it exists or cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # A link, unlike a rename, refuses to replace what is there.
            os.link(temporary, path)
        finally:
            temporary.unlink()
        _sync_directory(path.parent)
    except FileExistsError:
        raise KeyFileError(
            f"{path} exists and is not overwritten; move it away first, or choose another name"
        ) from None
    except OSError as problem:
        raise KeyFileError(
            f"{path} cannot be written ({problem.strerror}); check directory, rights and space"
        ) from problem


def read_protected(path: Path) -> bytes:
    """Read a file that nobody but its owner may read.

    Raises KeyFileError, with the command that mends its rights.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_FILE + 1)
    except OSError as problem:
        raise KeyFileError(f"{path} cannot be read ({problem.strerror}); check the path and its owner") from problem
    if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
        raise KeyFileError(
            f"{path} is open to others (mode {stat.S_IMODE(mode):04o}); run: chmod 600 {path} - and replace "
            "the key if "
            "others may have read it"
        )
    if len(content) > MAX_FILE:
        raise KeyFileError(f"{path} is larger than {MAX_FILE} bytes and so is no key file; check the path")
    return content


def _sync_directory(directory: Path) -> None:
    # Some systems cannot open or sync a directory; the file itself is already on disk.
    with contextlib.suppress(OSError):
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _is_cost(cost: int) -> bool:
    return _MIN_COST <= cost <= _MAX_COST and cost & (cost - 1) == 0


def _derive(secret: bytes, salt: bytes, cost: int) -> bytes:
    return Scrypt(salt, KEY_SIZE, cost, _BLOCK_SIZE, _PARALLEL).derive(secret)


def _algorithm(cost: int, salt: bytes, nonce: bytes) -> bytes:
    """Encode the AlgorithmIdentifier; it is the associated data of the encryption, too."""
    numbers = (der.integer(cost), der.integer(_BLOCK_SIZE), der.integer(_PARALLEL), der.integer(KEY_SIZE))
    scrypt = der.element(der.SEQUENCE, der.element(der.OCTET_STRING, salt), *numbers)
    cipher = der.element(der.SEQUENCE, der.element(der.OCTET_STRING, nonce), der.integer(TAG_SIZE))
    parameters = der.element(
        der.SEQUENCE, der.element(der.SEQUENCE, _SCRYPT, scrypt), der.element(der.SEQUENCE, _SM4_GCM, cipher)
    )
    return der.element(der.SEQUENCE, _PBES2, parameters)


def _read_outer(encoded: bytes) -> tuple[int, bytes, bytes, bytes]:
    """Return cost, salt, nonce and sealed key; everything else must be as `_algorithm` writes it."""
    outer = der.Reader(encoded)
    body = outer.sequence()
    outer.finish()
    algorithm = body.sequence()
    sealed = body.element(der.OCTET_STRING)
    body.finish()
    algorithm.expect(_PBES2)
    parameters = algorithm.sequence()
    derivation, encryption = parameters.sequence(), parameters.sequence()
    derivation.expect(_SCRYPT)
    scrypt = derivation.sequence()
    salt, cost = scrypt.element(der.OCTET_STRING), scrypt.integer()
    encryption.expect(_SM4_GCM)
    nonce = encryption.sequence().element(der.OCTET_STRING)
    if not _is_cost(cost) or len(salt) != _SALT_SIZE or len(nonce) != NONCE_SIZE:
        raise der.DerMalformed("its scrypt cost, salt or nonce is out of bounds")
    expected = der.element(der.SEQUENCE, _algorithm(cost, salt, nonce), der.element(der.OCTET_STRING, sealed))
    if expected != encoded:
        raise der.DerMalformed("its parameters are not in their one form")
    return cost, salt, nonce, sealed


def _read_inner(encoded: bytes) -> PrivateKey:
    outer = der.Reader(encoded)
    info = outer.sequence()
    outer.finish()
    info.expect(_PRIVATE_HEAD)
    wrapped = der.Reader(info.element(der.OCTET_STRING))
    info.finish()
    key = wrapped.sequence()
    wrapped.finish()
    key.expect(der.integer(1))
    secret = key.element(der.OCTET_STRING)
    public = der.Reader(key.element(der.CONTEXT_1))
    key.finish()
    point = public.element(der.BIT_STRING)
    public.finish()
    if len(secret) != SECRET_SIZE or len(point) != POINT_SIZE + 2 or point[:2] != b"\x00\x04":
        raise der.DerMalformed("its key has another size")
    return PrivateKey(secret, PublicKey(point[2:]))


def _to_pem(encoded: bytes) -> bytes:
    text = base64.b64encode(encoded).decode()
    lines = "".join(text[at : at + 64] + "\n" for at in range(0, len(text), 64))
    return (_BEGIN + lines + _END).encode()


def _from_pem(content: bytes) -> bytes:
    def refuse() -> NoReturn:
        raise der.DerMalformed("it is not an ENCRYPTED PRIVATE KEY in PEM as this program writes it")

    head, tail = _BEGIN.encode(), _END.encode()
    if not (content.startswith(head) and content.endswith(tail)):
        refuse()
    try:
        encoded = base64.b64decode(content[len(head) : -len(tail)])
    except ValueError:
        refuse()
    if _to_pem(encoded) != content:
        refuse()
    return encoded
