"""What leaves a party: uniform, fresh, and independent of features and weights but for the total; and no key that opens anything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tenseal.sealapi as seal

from modeling import bfv
from modeling.errors import ProtocolViolation
from modeling.scoring import ring
from modeling.scoring.boosting import Owner as BoostingOwner
from modeling.scoring.linear import BLOCK
from modeling.scoring.mirrored import Requester
from modeling.seal_bytes import load_into, loaded_cipher, plaintext, saved
from tests.modeling.scoring.parties import CHI_SQUARE_LIMIT, Parties, chi_square
from tests.modeling.scoring.test_boosting import random_model

EVERYWHERE = range(ring.SIZE)


def coefficients(parties: Parties, answer: bytes) -> Any:
    """All that decrypts, modulo t: more than the owner is meant to look at."""
    return parties.key._key.decrypt(answer, EVERYWHERE)


def test_a_part_of_two_is_uniform_whatever_the_features() -> None:
    parties = Parties((3, 2), rows=2 * BLOCK)
    for features in (np.zeros((2 * BLOCK, 3)), np.full((2 * BLOCK, 3), 5.0)):
        parties.features[0] = features
        blocks = [coefficients(parties, block) for block in parties.columns()[0]]
        assert chi_square(np.concatenate(blocks), ring.MODULUS_BITS) < CHI_SQUARE_LIMIT
        assert chi_square(np.diff(np.concatenate(blocks)) % np.uint64(1 << 50), ring.MODULUS_BITS) < CHI_SQUARE_LIMIT


@pytest.mark.parametrize("providers", [1, 2])
def test_a_tiled_answer_is_uniform_but_for_the_inner_products(providers: int) -> None:
    parties = Parties((8,) * providers, rows=1024)
    parties.features = [np.full((1024, 8), 5.0)] * providers
    found = [coefficients(parties, answer) for _, answer in parties.tiled()]
    others = np.arange(ring.SIZE) % 8 != 7
    assert chi_square(found[0][others], ring.MODULUS_BITS) < CHI_SQUARE_LIMIT
    if providers == 2:
        assert chi_square(np.concatenate(found), ring.MODULUS_BITS) < CHI_SQUARE_LIMIT
        return
    inner = ring.centred(found[0][~others]) / 2.0**parties.scales.fraction_bits
    np.testing.assert_allclose(inner, parties.plain(), atol=parties.scales.error)


def test_the_same_request_has_another_answer_each_time_and_opens_to_the_same() -> None:
    parties = Parties((4,), rows=9)
    first, second = (parties.tiled()[0][1] for _ in range(2))
    halves = [halves_of(each) for each in (first, second)]
    assert (halves[0] != halves[1]).mean() > 0.99
    for answer in (first, second):
        np.testing.assert_allclose(
            parties.key.open_tiled([(4, answer)], 9, parties.scales), parties.plain(), atol=parties.scales.error
        )


def test_the_second_half_of_an_answer_is_uniform() -> None:
    """Without the fresh encryption it would be columns times public numbers, from which the columns could be solved."""
    parties = Parties((1,), rows=BLOCK)
    parties.features[0][:] = 0.0
    parties.features[0][0] = 5.0
    ((answer,),) = parties.columns()
    assert chi_square(halves_of(answer)[1].astype(np.uint64), 60) < CHI_SQUARE_LIMIT


def test_noise_of_an_answer_does_not_depend_on_the_features() -> None:
    """What is left after rounding has the size that rounding alone has, for features of zero and of the largest size."""
    parties = Parties((40,), rows=BLOCK, size=0.1)
    spreads = []
    for value in (0.0, 5.0):
        parties.features[0] = np.full((BLOCK, 40), value)
        noise = np.concatenate([noise_of(parties, block) for _ in range(3) for block in parties.columns()[0]])
        spreads.append(noise.std())
    assert spreads[0] == pytest.approx(21.3, rel=0.1)  # sqrt(8192 * 2/3 / 12)
    assert spreads[1] == pytest.approx(spreads[0], rel=0.05)  # 24,576 numbers: 0.5% by chance


def halves_of(answer: bytes) -> Any:
    """int[2, 8192]: the two polynomials of an answer, modulo its prime."""
    cipher = loaded_cipher(ring._library().context, answer)
    return np.array([cipher[place] for place in range(2 * ring.SIZE)], object).reshape(2, ring.SIZE)


def noise_of(parties: Parties, answer: bytes) -> Any:
    """float64[8192]: what decryption rounds away. Without its message an answer decrypts to 2^30 times its noise, times t / q."""
    library, clean = ring._library(), seal.Ciphertext()
    message = plaintext(library.context, coefficients(parties, answer))
    library.evaluator.sub_plain(loaded_cipher(library.context, answer), message, clean)
    library.evaluator.multiply_plain_inplace(clean, plaintext(library.context, np.array([1 << 30], np.uint64)))
    scaled = ring.centred(parties.key._key.decrypt(saved(clean), EVERYWHERE, check=False))
    return scaled * (prime() / 2.0 ** (30 + ring.MODULUS_BITS))


def prime() -> int:
    """The one that stays in an answer."""
    return int(seal.CoeffModulus.Create(ring.SIZE, list(ring.PRIME_BITS))[0].value())


# -- no key that opens anything is ever sent


def everything_sent() -> tuple[list[Any], dict[str, list[bytes]]]:
    """The secret keys of three sessions, and all bytes that leave a party in them, by what they should be."""
    parties, requester = Parties((2,), rows=3), Requester()
    model, _ = random_model(np.random.default_rng(1))
    owner = BoostingOwner(model)
    asked = requester.encrypt(parties.features[0], parties.bounds[0])
    (encrypted,) = parties.encrypted
    sent = {
        "public": [parties.key.public, requester.public],
        "cipher": [*encrypted.columns, encrypted.tiled, *parties.columns()[0], parties.tiled()[0][1], *asked.blocks[0]],
        "boosting public": [owner.public],
        "boosting cipher": [*owner.ask(np.zeros((2, model.features)))],
    }
    return [parties.key._key, requester._key, owner._key], sent


def test_no_message_is_or_carries_a_secret_key() -> None:
    """A context of TenSEAL can be sent with its secret key by mistake. Here none is sent: parameters stand in the code."""
    keys, sent = everything_sent()
    for kind, messages in sent.items():
        context = (bfv if kind.startswith("boosting") else ring)._library().context
        for message in messages:
            with pytest.raises(ProtocolViolation):
                load_into(context, seal.SecretKey(), message)
            whole = seal.PublicKey() if kind.endswith("public") else seal.Ciphertext()
            load_into(context, whole, message)
            header = int.from_bytes(message[8:16], "little")
            assert header == len(message), "nothing stands behind the object"
    for key in keys:
        assert not any(isinstance(each, bytes) and each != key.public for each in vars(key).values())


def test_the_bytes_of_a_secret_key_are_recognised_by_that_test() -> None:
    generator = seal.KeyGenerator(ring._library().context)
    load_into(ring._library().context, seal.SecretKey(), saved(generator.secret_key()))
