"""Weights that are sent are bound to those that are registered: by the bank's word, the session's seed and an auditor who has both."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from consent.model_state import Model
from modeling.scoring.model import LinearModel
from nodes.errors import NodeError
from nodes.models.opening import Checked, Opening, check_openings
from nodes.models.sessions import SessionSeed, keep_seed, seeds_of
from nodes.scoring.computer import Computer
from nodes.scoring.evidence import sent_word
from nodes.scoring.messages import Opened
from nodes.scoring.recipe import LinearRecipe
from tests.nodes.exchanges.parties import Parties
from tests.nodes.hub_simulator import PROVIDER
from tests.nodes.scoring.two_nodes import (
    SESSION,
    Registries,
    consented,
    exchange,
    heard,
    linear_model,
    opening,
    refused,
    registries,
    score_terms,
    with_word,
)
from trust.sm2 import PrivateKey

OTHER_WEIGHTS = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


@dataclass
class Bank:
    """A bank whose model is registered, and which sends what it likes."""

    parties: Parties
    both: Registries
    model: Model
    computer: Computer

    @classmethod
    async def registered(cls, parties: Parties, computer: Computer) -> Bank:
        consented(parties, 1)
        both = await registries(parties)
        return cls(parties, both, await both.in_service(linear_model()), computer)

    async def opens(self, sends: LinearModel, session: str = SESSION) -> tuple[tuple[bytes, ...], SessionSeed]:
        """What a session brings, and its seed."""
        begun = await LinearRecipe(sends, (PROVIDER,), self.computer).begin(session)
        return begun.blobs[PROVIDER], SessionSeed(session=session, seed=begun.seed)

    async def audited(self, folder: Path, *seeds: SessionSeed) -> Checked:
        """The auditor's finding, of both parties' openings."""
        kept = self.parties.now_ms
        for seed in seeds:
            await self.parties.bank_store.write(
                lambda connection, seed=seed: keep_seed(connection, self.model.version.model_id, seed, kept)  # type: ignore[misc]
            )
        number = secrets.token_hex(4)
        openings = [
            await registry.opening(self.model.version.model_id, folder / f"{number}-{place}.json")
            for place, registry in enumerate((self.both.bank, self.both.provider))
        ]
        (found,) = check_openings(openings)
        return found

    async def accepted(self, blobs: Sequence[bytes]) -> None:
        """The provider opens the session."""
        async with exchange(self.parties, self.both) as link:
            await link.say(opening(self.model), with_word(self.parties, self.model, blobs))
            assert isinstance((await heard(link))[0], Opened)


async def test_an_honest_bank_passes(parties: Parties, computer: Computer, tmp_path: Path) -> None:
    bank = await Bank.registered(parties, computer)
    blobs, seed = await bank.opens(linear_model())
    await bank.accepted(blobs)
    found = await bank.audited(tmp_path, seed)
    assert (found.findings, len(found.sent)) == ((), 1)
    again, _ = await bank.opens(linear_model())
    assert again[1] != blobs[1]  # another session, another key


async def test_a_bank_that_sends_other_weights_is_found_out_by_its_own_signature(
    parties: Parties, computer: Computer, tmp_path: Path
) -> None:
    bank = await Bank.registered(parties, computer)
    blobs, seed = await bank.opens(linear_model(OTHER_WEIGHTS))
    await bank.accepted(blobs)  # nothing shows it here: the weights are encrypted
    found = await bank.audited(tmp_path, seed)
    assert len(found.findings) == 1
    assert f"sent {PROVIDER} other weights than those of the model" in found.findings[0]


async def test_a_bank_that_shows_another_seed_or_none_is_found_out(
    parties: Parties, computer: Computer, tmp_path: Path
) -> None:
    bank = await Bank.registered(parties, computer)
    blobs, _ = await bank.opens(linear_model(OTHER_WEIGHTS))
    await bank.accepted(blobs)
    none = await bank.audited(tmp_path)
    assert f"does not show the seed of session {SESSION}" in none.findings[0]
    _, honest = await bank.opens(linear_model())
    other = await bank.audited(tmp_path, honest)
    assert "shows another seed" in other.findings[0]


async def test_a_provider_takes_no_weights_without_their_owners_word_on_them(
    parties: Parties, computer: Computer
) -> None:
    bank = await Bank.registered(parties, computer)
    blobs, _ = await bank.opens(linear_model())
    others, _ = await bank.opens(linear_model(OTHER_WEIGHTS))
    terms, now_ms = score_terms(parties), parties.now_ms
    word = with_word(parties, bank.model, blobs)[-1]
    foreign = sent_word(bank.model, terms, SESSION, blobs, PrivateKey.generate(), now_ms)
    elsewhere = sent_word(bank.model, terms, "cd" * 16, blobs, parties.bank_key, now_ms)
    async with exchange(parties, bank.both) as link:
        told = [
            await refused(link, opening(bank.model), each)
            for each in ((*others, word), (*blobs, foreign), (*blobs, elsewhere), (*blobs, b"{}"))
        ]
    assert [each.code for each in told] == ["MODEL_INVALID", "SIGNATURE_INVALID", "MODEL_INVALID", "DOCUMENT_MALFORMED"]
    assert not (await bank.both.provider.opening(bank.model.version.model_id, parties.home / "none.json")).sent


async def test_an_auditor_needs_the_owners_opening_and_sessions_of_its_model(
    parties: Parties, computer: Computer, tmp_path: Path
) -> None:
    bank = await Bank.registered(parties, computer)
    blobs, seed = await bank.opens(linear_model())
    await bank.accepted(blobs)
    theirs = await bank.both.provider.opening(bank.model.version.model_id, tmp_path / "p.json")
    with pytest.raises(NodeError, match="owner's own opening"):
        check_openings([theirs])
    other = await bank.both.in_service(linear_model((0.1, 0.2, -0.3, 0.4, 0.5, -0.6)))
    own = await bank.both.bank.opening(other.version.model_id, tmp_path / "b.json")
    with pytest.raises(NodeError, match="of another model"):
        check_openings([own, Opening(model=own.model, sent=theirs.sent)])
    await bank.audited(tmp_path, seed)
    kept = await parties.bank_store.read(lambda connection: seeds_of(connection, other.version.model_id))
    assert kept == ()
