"""Records of a comparison: each common enterprise proves its own part, on the legal basis that the receipt names."""

from __future__ import annotations

import secrets

import pytest

from cli.demo.loans import synthetic_uscc
from consent.documents import ExchangeMode, encode
from consent.errors import DocumentMalformed
from consent.usage import SubjectTree, parse_receipt, verify_basis, verify_subject_use
from nodes.psi.messages import SALT_BYTES
from nodes.psi.record import NOBODY, common_of, receipt
from tests.nodes.exchanges.parties import Parties
from tests.nodes.psi.two_nodes import BASIS, psi_terms

CODES = [synthetic_uscc(number) for number in range(7)]


def test_each_common_enterprise_proves_its_part_and_both_sides_commit_to_the_same(parties: Parties) -> None:
    salts = secrets.token_bytes(SALT_BYTES * len(CODES))
    common = common_of(CODES, salts)
    assert common.commitment == common_of(list(CODES), salts).commitment
    assert common.commitment != common_of(CODES[::-1], salts).commitment
    asked = psi_terms(parties, ExchangeMode.PSI_ROWS).request
    made = receipt(
        asked,
        side="provider",
        receipt_id=asked.exchange_id,
        node_id="tax-1",
        time_ms=1,
        legal_basis=BASIS,
        common=common.commitment,
    )
    told = parse_receipt(encode(made))
    assert told.batch is not None
    tree = SubjectTree(common.uses)
    for place, use in enumerate(common.uses):
        part = verify_subject_use(use, place, tree.path(place), told.batch)
        verify_basis(part, told)
        assert (part.uscc, part.consent_id, part.record_count) == (CODES[place], "", 0)


@pytest.mark.parametrize(("decision", "basis"), [("permit", BASIS), ("PSI_NOT_PERMITTED", None)])
def test_what_begins_or_is_refused_names_nobody(parties: Parties, decision: str, basis: str | None) -> None:
    asked = psi_terms(parties, ExchangeMode.PSI_SIZE).request
    made = receipt(
        asked,
        side="provider",
        receipt_id=asked.exchange_id,
        node_id="tax-1",
        time_ms=1,
        legal_basis=basis,
        decision=decision,
    )
    told = parse_receipt(encode(made))
    assert (told.batch, told.request_no, told.fields, told.record_count) == (NOBODY, 0, (), 0)
    with pytest.raises(DocumentMalformed):
        parse_receipt(
            encode(
                receipt(asked, side="provider", receipt_id=asked.exchange_id, node_id="t", time_ms=1, legal_basis=None)
            )
        )
