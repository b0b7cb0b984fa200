"""What a provider's node refuses of a proposal before it decides anything."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from modeling.jobs.plan import SelectionRules
from nodes.errors import ExchangeFailed
from nodes.joint.messages import ItemColumns
from nodes.joint.provider import JointProvider
from tests.nodes.exchanges.parties import Parties
from tests.nodes.joint.two_nodes import OTHER_ITEM, consented, joint_terms, proposal, provider_node

RULES = SelectionRules(across=False)


def checked(parties: Parties, rows: int = 5, node: dict[str, Any] | None = None, **changes: Any) -> None:
    consented(parties, 1)
    provider = JointProvider(dataclasses.replace(provider_node(parties), **(node or {})))
    provider._check(proposal(rows, **changes), joint_terms(parties))


def test_a_proposal_within_the_request_and_the_settings_is_taken(parties: Parties) -> None:
    checked(parties, selection=RULES, settings={"trees": 3, "min_rows": 10}, node={"minimum_sum": 10})


@pytest.mark.parametrize(
    ("node", "changes", "words"),
    [
        ({"selection": False}, {"selection": RULES}, "Leave `selection` out"),
        ({"minimum_sum": 10}, {"settings": {"trees": 3, "min_rows": 9}}, "Set min_rows to 10"),
        ({"minimum_rows": 6}, {}, "takes part from 6 on"),
        ({}, {"items": (ItemColumns(item_id=OTHER_ITEM, fields={"x": None}),)}, "not opened for"),
        ({}, {"settings": {"no_such": 1}}, "cannot be read"),
    ],
)
def test_what_the_node_does_not_allow_is_refused(
    parties: Parties, node: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ExchangeFailed, match=words):
        checked(parties, node=node, **changes)
