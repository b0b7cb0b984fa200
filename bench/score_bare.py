"""The peers of score.*: products alone, the same under CKKS; each in a process on each core."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
import tenseal.sealapi as seal

from modeling import bfv
from modeling.scoring import ring
from modeling.scoring.linear import BLOCK

COLUMNS: Final = 30
PRODUCTS: Final = 3000
_ROUNDS: Final = 20


def products(name: str, _chunk: bytes) -> bytes:
    """Seconds of multiplications alone: encoded columns by a ciphertext, each into the same place."""
    cipher, columns, evaluator = KINDS[name]()
    target = seal.Ciphertext()
    began, core_s = time.perf_counter(), time.process_time()
    for place in range(PRODUCTS):
        evaluator.multiply_plain(cipher, columns[place % COLUMNS], target)
    return msgspec.msgpack.encode((time.perf_counter() - began, time.process_time() - core_s))


def _of_bfv() -> tuple[Any, list[Any], Any]:
    columns = [bfv.encode(bfv.uniform(bfv.SLOTS)) for _ in range(COLUMNS)]
    return bfv.received(bfv.SecretKey().encrypt(bfv.uniform(bfv.SLOTS))), columns, bfv._library().evaluator


def _of_ring() -> tuple[Any, list[Any], Any]:
    columns = [ring.plain(each) for each in np.random.default_rng(1).integers(-(1 << 22), 1 << 22, (COLUMNS, BLOCK))]
    return ring.received(ring.SecretKey().encrypt(np.array([12345]))), columns, ring._library().evaluator


KINDS: Final[dict[str, Callable[[], tuple[Any, list[Any], Any]]]] = {"bfv": _of_bfv, "ring": _of_ring}


def ckks_rate(_chunk: bytes) -> bytes:
    """Subjects a second: 30 columns of 4,096 encoded, multiplied and added, again and again."""
    parameters = seal.EncryptionParameters(seal.SCHEME_TYPE.CKKS)
    parameters.set_poly_modulus_degree(BLOCK)
    parameters.set_coeff_modulus(seal.CoeffModulus.Create(BLOCK, [60, 40, 60]))
    context = seal.SEALContext(parameters, True, seal.SEC_LEVEL_TYPE.TC128)
    encoder, evaluator, scale = seal.CKKSEncoder(context), seal.Evaluator(context), 2.0**40
    encryptor = seal.Encryptor(context, seal.KeyGenerator(context).secret_key())
    random, plain, weights = np.random.default_rng(1), seal.Plaintext(), []
    for weight in random.normal(size=COLUMNS):
        encoder.encode(float(weight), scale, plain)
        weights.append(seal.Ciphertext())
        encryptor.encrypt_symmetric(plain, weights[-1])
    columns = random.normal(size=(COLUMNS, BLOCK // 2))
    began = time.perf_counter()
    for _ in range(_ROUNDS):
        total = None
        for weight, column in zip(weights, columns, strict=True):
            product = seal.Ciphertext()
            encoder.encode(column.tolist(), scale, plain)
            evaluator.multiply_plain(weight, plain, product)
            if total is None:
                total = product
            else:
                evaluator.add_inplace(total, product)
    return repr(_ROUNDS * BLOCK / 2 / (time.perf_counter() - began)).encode()
