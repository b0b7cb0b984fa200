"""BFV with numbers in the coefficients: 8,192 of them modulo t = 2^50, for inner products in fixed point.

A constant times a polynomial is the constant times each coefficient (a weight times a column); and where w stands upwards in one
polynomial and rows stand downwards in another, their inner products are certain coefficients of the product (Cheetah, USENIX Security
2022, 3.1). Neither needs a number in each slot, so a column costs no encoding, numbers stay small, and with them the noise: two primes
of 60 bits are enough, and a product costs half of what it costs in `modeling.bfv`. With t a power of two, masks are random bits.

Products of single ciphertexts are the library's (`Sum`), those of many columns are taken by `columns`, to the same residues.

Rules, as in `modeling.bfv`:
1. Parameters are checked at start: 128-bit security by the library's own table (160 of at most 218 bits), and a self-test.
2. What is encrypted is encrypted afresh, symmetrically, and travels with the seed of its second half (131 KB instead of 262).
3. A sum of products leaves only through `PublicKey.hidden` or, where it has the encryption's own product in it, `finished`: a fresh
   public-key encryption is added, and what the receiver shall not see is masked modulo t; then one of the two primes is divided away,
   and that rounding is 2^30 times larger than what is left of the products' noise. It is a sum of 5,461 halves and less, 21 in standard
   deviation; up to 511 decrypts rightly.
4. What comes from another party is loaded with the library's validity checks (ProtocolViolation).
5. A key may be made from a seed, by which its owner can show an auditor later what it encrypted: key, public key and each encryption
   draw from streams of their own (HKDF-SM3 of the seed, then the library's BLAKE2xb), for the library begins a stream again each time.
   A seed is used for one session: the same one with other numbers would tell their difference.

Sources: Brakerski 2012, Fan and Vercauteren 2012; Huang, Lu, Hong, Ding 2022 (Cheetah). Semi-honest parties only.
"""

from __future__ import annotations

import secrets
import struct
from functools import cache, cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tenseal.sealapi as seal

from modeling import seal_bytes
from modeling.errors import ParametersUnsafe, ProtocolViolation
from modeling.scoring import fourier
from modeling.scoring.fourier import Residues, Whole
from modeling.seal_bytes import ciphertext, coefficients, load_into, loaded_cipher, plaintext, saved
from trust.suite import hkdf_sm3

SIZE: Final = fourier.SIZE
"""Coefficients of a polynomial."""
MODULUS_BITS: Final = 50
PRIME_BITS: Final = (60, 60, 40)
"""The first stays in an answer, products have the first two; the last is the library's, for fresh public-key encryptions."""
PRIMES: Final = 2
"""Of products."""
MIN_BUDGET_BITS: Final = 1
_FEW: Final = 1000
"""Numbers of a plaintext that are read faster one by one than all together."""
_STREAM: Final = struct.Struct("<8Q")
"""The seed of the library's generator."""

Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
_MASK: Final = np.uint64((1 << MODULUS_BITS) - 1)


class _Library:
    """The library's objects for these parameters, made once in a process."""

    def __init__(self, stream: bytes | None = None) -> None:
        """`stream`: 64 bytes that all randomness follows from, for one use; None: from the operating system."""
        parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
        parameters.set_poly_modulus_degree(SIZE)
        parameters.set_coeff_modulus(seal.CoeffModulus.Create(SIZE, list(PRIME_BITS)))
        parameters.set_plain_modulus(1 << MODULUS_BITS)
        if stream is not None:
            parameters.set_random_generator(seal.Blake2xbPRNGFactory(list(_STREAM.unpack(stream))))
        self.context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
        if not self.context.parameters_set():
            raise ParametersUnsafe("the parameters of scoring are not accepted by the library at 128 bits of security")
        self.evaluator = seal.Evaluator(self.context)
        self.first = self.context.first_parms_id()
        self.last = self.context.last_parms_id()
        chain = seal.CoeffModulus.Create(SIZE, list(PRIME_BITS))
        self.primes = tuple(int(prime.value()) for prime in chain[:PRIMES])
        if any(not 0 < (1 << fourier.PRIME_BITS) - prime < fourier.LARGEST_TAIL for prime in self.primes):
            raise ParametersUnsafe("the primes of scoring are not such that sums of products fit 64 bits")


@cache
def _library() -> _Library:
    return _Library()


def uniform(count: int) -> Words:
    """`count` numbers uniform modulo t, from the operating system."""
    return np.frombuffer(secrets.token_bytes(8 * count), np.uint64) & _MASK


def ternary() -> Whole:
    """int32[8192], uniform in -1, 0, 1, from the operating system: what a public-key encryption is the product of the key with."""
    found = np.empty(0, np.uint8)
    while len(found) < SIZE:
        drawn = np.frombuffer(secrets.token_bytes(SIZE + 256), np.uint8)
        found = np.concatenate([found, drawn[drawn < 255]])
    return found[:SIZE].astype(np.int32) % 3 - 1


def errors() -> Ints:
    """int64[2, 8192]: of a public-key encryption; ones among 21 bits less ones among 21 others, as the library draws them."""
    drawn = np.frombuffer(secrets.token_bytes(8 * (4 * SIZE // 3 + 1)), np.uint64)
    ones = np.bitwise_count(np.stack([drawn >> np.uint64(each) << np.uint64(43) for each in (0, 21, 42)]))
    left, right = ones.reshape(-1)[: 4 * SIZE].astype(np.int64).reshape(2, 2, SIZE)
    return left - right


def primes() -> tuple[int, ...]:
    """Of products."""
    return _library().primes


def added(left: Residues, right: Residues) -> Residues:
    """int64[2, 2, 8192]: modulo the primes."""
    return fourier.reduced(fourier.reduced(left, primes()) + fourier.reduced(right, primes()), primes())


def residues(numbers: Ints | Words) -> Words:
    """Modulo t."""
    return numbers.astype(np.uint64) & _MASK


def centred(numbers: Words) -> Ints:
    """The representatives between -t/2 and t/2."""
    spare = np.int64(64 - MODULUS_BITS)
    return (numbers.astype(np.int64) << spare) >> spare


def plain(numbers: Ints) -> Any:  # noqa: ANN401 - the library's classes are not typed
    """A polynomial that ciphertexts can be multiplied by, lowest coefficient first; None for zero, whose products add nothing."""
    if not numbers.any():
        return None
    library = _library()
    found = plaintext(library.context, residues(numbers))
    library.evaluator.transform_to_ntt_inplace(found, library.first)
    return found


class SecretKey:
    """A party's own key of one session; it never leaves the party."""

    def __init__(self, seed: bytes | None = None) -> None:
        """`seed`: 32 bytes that key and encryptions follow from (rule 5)."""
        library, public = _library(), seal.PublicKey()
        self._seed, self._count = seed, 0
        self._secret = seal.KeyGenerator(self._context(b"secret key")).secret_key()
        seal.KeyGenerator(self._context(b"public key"), self._secret).create_public_key(public)
        self._encryptor = seal.Encryptor(library.context, self._secret)
        self._decryptor = seal.Decryptor(library.context, self._secret)
        self.public = saved(public)

    def __reduce__(self) -> str:
        """Refuse to be copied or pickled."""
        raise TypeError("a secret key stays where it was made")

    def encrypt(self, numbers: Ints) -> bytes:
        """A fresh ciphertext of up to 8,192 integers, in its short form."""
        encryptor = self._encryptor
        if self._seed is not None:
            encryptor = seal.Encryptor(self._context(b"encryption %d" % self._count), self._secret)
            self._count += 1
        return saved(encryptor.encrypt_symmetric(plaintext(_library().context, residues(numbers))))

    def decrypt(self, answer: bytes, places: range, *, check: bool = True) -> Words:
        """The coefficients at some places of an answer that `hidden` made, modulo t. Raises ProtocolViolation.

        `check`: whether it is under this key at all, which shows in the noise; costs twice the decryption. Answers are decrypted one by
        one and their numbers added, for their rounding adds up too, and there is room for one.
        """
        library = _library()
        cipher = loaded_cipher(library.context, answer)
        if cipher.is_ntt_form() or cipher.parms_id() != library.last:
            raise ProtocolViolation("an answer came at another level than was agreed")
        if check and self._decryptor.invariant_noise_budget(cipher) < 1:
            raise ProtocolViolation("an answer came that does not decrypt under this key")
        found = seal.Plaintext()
        self._decryptor.decrypt(cipher, found)
        known = found.coeff_count()
        if len(places) < _FEW:
            return np.array([found[place] if place < known else 0 for place in places], np.uint64)
        numbers = np.zeros(SIZE, np.uint64)
        numbers[:known] = coefficients(found)
        return numbers[places.start : places.stop : places.step]

    def _context(self, use: bytes) -> Any:  # noqa: ANN401
        """The library's objects for one use of the seed, or those of all where there is none."""
        if self._seed is None:
            return _library().context
        return _Library(hkdf_sm3(self._seed, b"", b"xinqiao/score-key/v1/" + use, _STREAM.size)).context


class PublicKey:
    """Another party's key: hides sums of products of its ciphertexts."""

    def __init__(self, data: bytes) -> None:
        """Raises ProtocolViolation."""
        key = seal.PublicKey()
        load_into(_library().context, key, data)
        self._encryptor = seal.Encryptor(_library().context, key)
        self._key = key
        self._ready: list[Any] = []

    @cached_property
    def residues(self) -> Residues:
        """int64[2, 2, 8192]: the key's polynomials modulo the primes of products."""
        library = _library()
        factor = ciphertext(
            library.context, library.first, seal_bytes.residues(self._key.data())[:, :PRIMES], as_factor=True
        )
        library.evaluator.transform_from_ntt_inplace(factor)
        return residues_of(factor)

    def prepare_one(self, at_most: int) -> bool:
        """Make one fresh encryption of zero in advance; False if there are so many already."""
        if len(self._ready) >= at_most:
            return False
        self._ready.append(self._zero())
        return True

    def hidden(self, products: Sum, mask: Words | None) -> bytes:
        """The ciphertext of sum + mask, uint64[8192] modulo t, in its smallest form (rule 3). None: nothing is masked."""
        library = _library()
        total = self._ready.pop() if self._ready else self._zero()
        if mask is not None and mask.any():
            library.evaluator.add_plain_inplace(total, plaintext(library.context, mask))
        products.add_to(total)
        library.evaluator.mod_switch_to_next_inplace(total)
        return saved(total)

    def finished(self, sums: Residues, mask: Words) -> bytes:
        """As `hidden`, of int64[2, 2, 8192] in which the product of this key with a `ternary` is."""
        library = _library()
        numbers = fourier.reduced(sums + errors()[:, None], library.primes)
        total = ciphertext(library.context, library.first, numbers.astype(np.uint64))
        if mask.any():
            library.evaluator.add_plain_inplace(total, plaintext(library.context, mask))
        library.evaluator.mod_switch_to_next_inplace(total)
        return saved(total)

    def _zero(self) -> Any:  # noqa: ANN401
        found = seal.Ciphertext()
        self._encryptor.encrypt_zero(found)
        return found


class Sum:
    """A running sum of ciphertext times plaintext."""

    def __init__(self) -> None:
        self._total: Any = None
        self._product = seal.Ciphertext()

    def add(self, cipher: Any, multiplier: Any) -> None:  # noqa: ANN401
        """Add one product of a `received` ciphertext and a `plain`."""
        if multiplier is None:
            return
        evaluator = _library().evaluator
        if self._total is None:
            self._total = seal.Ciphertext()
            evaluator.multiply_plain(cipher, multiplier, self._total)
        else:
            evaluator.multiply_plain(cipher, multiplier, self._product)
            evaluator.add_inplace(self._total, self._product)

    def add_to(self, cipher: Any) -> None:  # noqa: ANN401
        """Add the sum to a ciphertext that is not in working form."""
        if self._total is None:
            return
        total = seal.Ciphertext()
        _library().evaluator.transform_from_ntt(self._total, total)
        _library().evaluator.add_inplace(cipher, total)


def received(data: bytes) -> Any:  # noqa: ANN401
    """Another party's ciphertext, ready to be multiplied. Raises ProtocolViolation."""
    cipher = checked(data)
    _library().evaluator.transform_to_ntt_inplace(cipher)
    return cipher


def checked(data: bytes) -> Any:  # noqa: ANN401
    """Another party's ciphertext as it came. Raises ProtocolViolation."""
    library = _library()
    cipher = loaded_cipher(library.context, data)
    if cipher.is_ntt_form() or cipher.parms_id() != library.first:
        raise ProtocolViolation("a ciphertext came at another level than was agreed")
    return cipher


def residues_of(cipher: Any) -> Residues:  # noqa: ANN401
    """int64[2, 2, 8192] of a `checked` ciphertext."""
    return seal_bytes.residues(cipher).astype(np.int64)


def self_test() -> None:
    """Both kinds of product on random numbers, against plain arithmetic. Raises ParametersUnsafe if anything comes out wrong."""
    owner = SecretKey()
    helper = PublicKey(owner.public)
    random = np.random.default_rng(secrets.randbits(64))
    weights, columns = random.integers(-(1 << 26), 1 << 26, 40), random.integers(-(1 << 22), 1 << 22, (40, SIZE))
    constants, whole = Sum(), Sum()
    for weight, column in zip(weights, columns, strict=True):
        constants.add(received(owner.encrypt(weight[None])), plain(column))
    whole.add(received(owner.encrypt(weights)), plain(columns[:, 0][::-1].copy()))
    mask = uniform(SIZE)
    answers = [helper.hidden(constants, mask), helper.hidden(whole, mask)]
    budget = min(owner._decryptor.invariant_noise_budget(loaded_cipher(_library().context, each)) for each in answers)
    found = centred(residues(owner.decrypt(answers[0], range(SIZE), check=False) - mask))
    inner = centred(
        residues(owner.decrypt(answers[1], range(len(weights) - 1, len(weights)), check=False) - mask[len(weights) - 1])
    )
    wanted = (weights[:, None] * columns).sum(axis=0)
    if (
        budget < MIN_BUDGET_BITS
        or (found != centred(residues(wanted))).any()
        or inner[0] != centred(residues(wanted[:1]))[0]
    ):
        raise ParametersUnsafe(f"scoring computes wrongly on this machine, or has only {budget} bits of noise left")
