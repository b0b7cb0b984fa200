"""The errors of the trust core: one small tree, each with a code that stays the same for ever.

Rules: a message says what happened, to what, and what to do about it; it never carries a key, a passphrase, a
plaintext or personal data; an error that may be an attack does not tell the attacker which of the checks
failed.
"""

from __future__ import annotations

from typing import ClassVar


class TrustError(Exception):
    """Base of everything that this package raises on purpose; `code` never changes its meaning."""

    code: ClassVar[str] = "TRUST"


class SuiteUnknown(TrustError):
    """An object names a cryptographic suite that this version does not implement."""

    code: ClassVar[str] = "SUITE_UNKNOWN"


class SuiteUnavailable(TrustError):
    """The suite is known but a library that it needs is missing on this machine."""

    code: ClassVar[str] = "SUITE_UNAVAILABLE"


class SignatureInvalid(TrustError):
    """A signature is missing, malformed, or not made by the expected key over the exact bytes."""

    code: ClassVar[str] = "SIGNATURE_INVALID"


class DocumentMalformed(TrustError):
    """Bytes that should be a signed document are not one in its only permitted encoding."""

    code: ClassVar[str] = "DOCUMENT_MALFORMED"


class KeyMalformed(TrustError):
    """A public or private key is out of range, not on the curve, or not in its one encoding."""

    code: ClassVar[str] = "KEY_MALFORMED"


class KeyFileError(TrustError):
    """A key file cannot be written or read: missing, damaged, readable by others, or already there."""

    code: ClassVar[str] = "KEY_FILE"


class WrongPassphrase(KeyFileError):
    """A key file does not open: another secret, or the file was altered (the two look the same)."""

    code: ClassVar[str] = "WRONG_PASSPHRASE"


class DecryptionFailed(TrustError):
    """A ciphertext does not open under this key and context. Deliberately without detail."""

    code: ClassVar[str] = "DECRYPTION_FAILED"


class HandshakeFailed(TrustError):
    """The set-up of a secure channel was refused; its ephemeral keys are gone, start a new one."""

    code: ClassVar[str] = "HANDSHAKE_FAILED"


class FrameRejected(TrustError):
    """A frame of a secure channel was repeated, lost, re-ordered, cut, too large or forged; it is dead."""

    code: ClassVar[str] = "FRAME_REJECTED"


class WindowFull(TrustError):
    """The sender holds as many unacknowledged bytes as it may; wait for an acknowledgement."""

    code: ClassVar[str] = "WINDOW_FULL"


class CertificateRejected(TrustError):
    """A certificate or a certificate request is malformed, expired, or not for this use."""

    code: ClassVar[str] = "CERTIFICATE_REJECTED"


class LogInconsistent(TrustError):
    """A log head or a proof contradicts what was verified before: an alarm for an operator."""

    code: ClassVar[str] = "LOG_INCONSISTENT"


class CheckpointStale(TrustError):
    """The newest verified checkpoint is older than the permitted staleness."""

    code: ClassVar[str] = "CHECKPOINT_STALE"
