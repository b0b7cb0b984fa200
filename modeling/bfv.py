"""BFV over blocks of rows: one ciphertext carries 8,192 numbers modulo a 56-bit prime t.

What the trainers need and nothing else: encrypt a vector under one's own key, multiply another's ciphertexts by plaintext vectors and
add them up, mask the sum, decrypt. No relinearisation and no rotation, so no evaluation keys exist.

Rules:
1. Parameters are checked at start: 128-bit security by the library's own table (200 of at most 218 bits), a plaintext modulus that
   batches, and a self-test of the whole path against plain arithmetic (ParametersUnsafe).
2. A vector is encrypted afresh each time, symmetrically, and travels with the seed of its second half (197 KB instead of 394).
3. A sum of products leaves only through `masked`: a fresh public-key encryption of a mask that is uniform modulo t in every slot is
   added, so that neither the value nor the second half of the ciphertext says anything of the multipliers; and noise that is uniform
   over a range 2^40 times larger than a product's noise, which drowns it. Then the modulus is switched down, for size.
4. What comes from another party is loaded with the library's validity checks (ProtocolViolation).

Vectors are int64[8192] with entries in [0, t). Sources: Brakerski 2012, Fan and Vercauteren 2012 (BFV); Microsoft SEAL by
`tenseal.sealapi`. Drowning noise: Gentry 2009; Asharov et al., EUROCRYPT 2012 (smudging). Semi-honest parties only.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tenseal.sealapi as seal

from modeling.errors import ParametersUnsafe, ProtocolViolation
from modeling.seal_bytes import load_into, loaded_cipher, noise, saved

SLOTS: Final = 8192
PLAIN_MODULUS: Final = 72013613572816897
"""t: the largest prime below 2^56 that is 1 modulo 3 * 2^43. A plaintext is a vector of 8,192 numbers modulo t. Numbers shared modulo t
are shared modulo any divisor of t - 1 too, but for one: the period of the logistic regression in fixed point is such a divisor."""
PRIME_BITS: Final = (60, 60, 60, 20)
"""The first two stay in an answer, products have the first three; the last is the library's, for fresh public-key encryptions. All
three are above t, which makes encoding cheap."""
MIN_BUDGET_BITS: Final = 10
MIN_DROWNED_BITS: Final = 36
_NOISE_BITS: Final = 45
"""Of the drowning noise, beyond those of a prime."""

Vector = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]


class _Library:
    """The library's objects for these parameters, made once in a process."""

    def __init__(self) -> None:
        parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.BFV)
        parameters.set_poly_modulus_degree(SLOTS)
        parameters.set_coeff_modulus(seal.CoeffModulus.Create(SLOTS, list(PRIME_BITS)))
        parameters.set_plain_modulus(PLAIN_MODULUS)
        self.context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
        qualifiers = self.context.key_context_data().qualifiers()
        if not self.context.parameters_set() or not qualifiers.using_batching:
            raise ParametersUnsafe("the BFV parameters are not accepted by the library at 128 bits of security")
        self.evaluator = seal.Evaluator(self.context)
        self.encoder = seal.BatchEncoder(self.context)
        self.first = self.context.first_parms_id()
        data = self.context.first_context_data()
        self.primes = [prime.value() for prime in data.parms().coeff_modulus()]
        gap = max(self.primes) - min(self.primes)
        if len(self.primes) != len(PRIME_BITS) - 1 or (max(self.primes) + (gap << _NOISE_BITS)).bit_length() > 64:
            raise ParametersUnsafe("the library found other primes than the noise of BFV is made for")


@cache
def _library() -> _Library:
    return _Library()


def uniform(count: int) -> Vector:
    """`count` numbers uniform modulo t, from the operating system."""
    return _uniform(count, PLAIN_MODULUS).astype(np.int64)


def _uniform(count: int, modulus: int) -> Words:
    spare = np.uint64(64 - modulus.bit_length())
    found = np.empty(0, np.uint64)
    while len(found) < count:
        drawn = np.frombuffer(secrets.token_bytes(8 * (count - len(found) + 16)), np.uint64) >> spare
        found = np.concatenate([found, drawn[drawn < modulus]])
    return found[:count]


def drowning() -> Words:
    """Noise (rule 3), modulo each prime: uint64[3, 8192]. It is uniform below p 2^45 with p the largest prime: low + p high."""
    primes = _library().primes
    low = _uniform(SLOTS, max(primes))
    high = np.frombuffer(secrets.token_bytes(8 * SLOTS), np.uint64) >> np.uint64(64 - _NOISE_BITS)
    return np.stack([(low + high * np.uint64(max(primes) - prime)) % np.uint64(prime) for prime in primes])


def blocks_of(values: npt.NDArray[np.int64]) -> list[Vector]:
    """A column of n rows, reduced modulo t, as ceil(n / 8192) vectors; the last is filled with zeros."""
    count = -(-len(values) // SLOTS)
    padded = np.zeros(count * SLOTS, np.int64)
    padded[: len(values)] = np.mod(values, PLAIN_MODULUS)
    return list(padded.reshape(count, SLOTS))


def encode(vector: Vector) -> Any:  # noqa: ANN401 - the library's classes are not typed
    """A plaintext that ciphertexts can be multiplied by; encoding is the cost, so keep it where it is used again."""
    library = _library()
    plain = seal.Plaintext()
    library.encoder.encode(vector.tolist(), plain)
    library.evaluator.transform_to_ntt_inplace(plain, library.first)
    return plain


class SecretKey:
    """A party's own key; it never leaves the party."""

    def __init__(self) -> None:
        library = _library()
        generator = seal.KeyGenerator(library.context)
        secret = generator.secret_key()
        public = seal.PublicKey()
        generator.create_public_key(public)
        self._encryptor = seal.Encryptor(library.context, public)
        self._encryptor.set_secret_key(secret)
        self._decryptor = seal.Decryptor(library.context, secret)
        self.public = saved(public)

    def __reduce__(self) -> str:
        """Refuse to be copied or pickled."""
        raise TypeError("a secret key stays where it was made")

    def encrypt(self, vector: Vector) -> bytes:
        """A fresh ciphertext of a vector, in its short form."""
        plain = seal.Plaintext()
        _library().encoder.encode(vector.tolist(), plain)
        return saved(self._encryptor.encrypt_symmetric(plain))

    def decrypt(self, ciphertexts: Sequence[bytes]) -> list[Vector]:
        """The vectors in ciphertexts that `masked` made. Raises ProtocolViolation if one is none.

        Whether they are under this key at all shows in the noise of the first: the check costs twice a decryption.
        """
        found: list[Vector] = []
        for data in ciphertexts:
            cipher = _loaded(data)
            if cipher.is_ntt_form() or (not found and self._decryptor.invariant_noise_budget(cipher) < 1):
                raise ProtocolViolation("a ciphertext came that does not decrypt under this key")
            plain = seal.Plaintext()
            self._decryptor.decrypt(cipher, plain)
            decoded = np.array(_library().encoder.decode_int64(plain), np.int64)
            found.append(np.mod(decoded, PLAIN_MODULUS))
        return found


class PublicKey:
    """Another party's key: masks sums of products of its ciphertexts."""

    def __init__(self, data: bytes) -> None:
        """Raises ProtocolViolation."""
        key = seal.PublicKey()
        load_into(_library().context, key, data)
        self._encryptor = seal.Encryptor(_library().context, key)
        self._ready: list[tuple[Vector, Any]] = []

    def prepare_one(self, at_most: int) -> bool:
        """Make one mask in advance, while there is nothing else to do; False if there are so many already."""
        if len(self._ready) >= at_most:
            return False
        self._ready.append(self._fresh())
        return True

    def masked(self, products: Sum) -> tuple[bytes, Vector]:
        """The ciphertext of sum + mask in its smallest form, and the mask (rule 3)."""
        mask, total = self._ready.pop() if self._ready else self._fresh()
        return self._added(total, products), mask

    def masked_by(self, mask: Vector, products: Sum) -> bytes:
        """As `masked`, with a mask whose entries are uniform but for what the caller wants to open, as the sum of some of them."""
        return self._added(self._encrypted(mask), products)

    def _fresh(self) -> tuple[Vector, Any]:
        mask = uniform(SLOTS)
        return mask, self._encrypted(mask)

    def _encrypted(self, mask: Vector) -> Any:  # noqa: ANN401
        library = _library()
        plain, cipher = seal.Plaintext(), seal.Ciphertext()
        library.encoder.encode(mask.tolist(), plain)
        self._encryptor.encrypt(plain, cipher)
        library.evaluator.add_inplace(cipher, noise(library.context, drowning()))
        return cipher

    @staticmethod
    def _added(total: Any, products: Sum) -> bytes:  # noqa: ANN401
        evaluator = _library().evaluator
        summed = products.finished()
        if summed is not None:
            evaluator.add_inplace(total, summed)
        evaluator.mod_switch_to_next_inplace(total)
        return saved(total)


class Sum:
    """A running sum of ciphertext times plaintext, slot by slot."""

    def __init__(self) -> None:
        self._total: Any = None

    def add(self, cipher: Any, plain: Any) -> None:  # noqa: ANN401
        """Add one product of a `received` ciphertext and an `encode`d vector."""
        evaluator = _library().evaluator
        product = seal.Ciphertext()
        try:
            evaluator.multiply_plain(cipher, plain, product)
        except (RuntimeError, ValueError):  # the product with a zero vector would be transparent: it adds nothing
            return
        if self._total is None:
            self._total = product
        else:
            evaluator.add_inplace(self._total, product)

    def saved(self) -> bytes:
        """The sum so far, for another process of this party; empty if no term was not zero."""
        return b"" if self._total is None else saved(self._total)

    def add_saved(self, data: bytes) -> None:
        """Add what another process of this party has `saved`."""
        if not data:
            return
        part = _loaded(data)
        if self._total is None:
            self._total = part
        else:
            _library().evaluator.add_inplace(self._total, part)

    def finished(self) -> Any:  # noqa: ANN401
        """The sum out of its working form; None for a sum without a term that is not zero."""
        if self._total is None:
            return None
        total = seal.Ciphertext()
        _library().evaluator.transform_from_ntt(self._total, total)
        return total


def received(data: bytes) -> Any:  # noqa: ANN401
    """Another party's ciphertext, ready to be multiplied. Raises ProtocolViolation."""
    library = _library()
    cipher = _loaded(data)
    if cipher.is_ntt_form() or cipher.parms_id() != library.first:
        raise ProtocolViolation("a ciphertext came at another level than was agreed")
    library.evaluator.transform_to_ntt_inplace(cipher)
    return cipher


def total_mod_t(vector: Vector) -> int:
    """The sum of the entries modulo t; exact."""
    low, high = vector & ((1 << 28) - 1), vector >> 28
    return (int(low.sum()) + (int(high.sum()) << 28)) % PLAIN_MODULUS


def centred(value: int) -> int:
    """The representative of a residue between -t/2 and t/2."""
    value %= PLAIN_MODULUS
    return value - PLAIN_MODULUS if value > PLAIN_MODULUS // 2 else value


def self_test() -> None:
    """The whole path on random numbers. Raises ParametersUnsafe if anything comes out wrong, or noise leaves room or shows."""
    owner = SecretKey()
    helper = PublicKey(owner.public)
    ours, theirs = [uniform(SLOTS) for _ in range(3)], [uniform(SLOTS) for _ in range(3)]
    products = Sum()
    for mine, yours in zip(ours, theirs, strict=True):
        products.add(received(owner.encrypt(mine)), encode(yours))
    cipher, mask = helper.masked(products)
    found = np.mod(owner.decrypt([cipher])[0] - mask, PLAIN_MODULUS)
    wanted = sum(mine.astype(object) * yours.astype(object) for mine, yours in zip(ours, theirs, strict=True))
    before, after = (owner._decryptor.invariant_noise_budget(each) for each in (products.finished(), _loaded(cipher)))
    if after < MIN_BUDGET_BITS or (found.astype(object) != wanted % PLAIN_MODULUS).any():
        raise ParametersUnsafe(f"BFV computes wrongly on this machine, or has only {after} bits of noise left")
    if before - after < MIN_DROWNED_BITS:
        raise ParametersUnsafe(f"the noise of a product is drowned by {before - after} bits only")


def products_of(ciphers: Iterable[Any], plains: Sequence[Any]) -> Sum:
    """The sum over blocks of ciphertext times plaintext."""
    found = Sum()
    for cipher, plain in zip(ciphers, plains, strict=True):
        found.add(cipher, plain)
    return found


def _loaded(data: bytes) -> Any:  # noqa: ANN401
    return loaded_cipher(_library().context, data)
