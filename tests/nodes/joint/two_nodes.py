"""A provider's and a bank's node as far as jobs need them, over the hub, stores and data of `Parties`."""

from __future__ import annotations

import uuid
from types import SimpleNamespace
from typing import Any, cast

import msgspec

from consent.decision import ItemUse
from consent.documents import ConsentDocument, ExchangeMode, ItemMode, Purpose, encode
from nodes.exchanges.context import ExchangeContext
from nodes.exchanges.terms import ExchangeTerms
from nodes.joint.messages import ItemColumns, Proposal
from nodes.joint.provider_plan import JointNode
from nodes.replica import Replica
from tests.nodes.exchanges.parties import CATALOGUE, ITEM, RULES, Parties, Tables, rows_for
from tests.nodes.hub_simulator import BANK, DIRECTORY, PROVIDER, Enterprise
from trust.suite import sm3

FIELDS = ("delinq_2yrs", "inq_fi")
OTHER_ITEM = "demo_accounts"


def consented(parties: Parties, count: int, **limits: Any) -> list[tuple[Enterprise, ConsentDocument]]:
    """Enterprises that consented to joint modelling with the provider's item, and one record of each."""
    parties.purpose = Purpose.JOINT_MODELLING
    made = [parties.hub.register(number) for number in range(count)]
    parties.tables = Tables(rows_for([each.uscc for each in made]))
    both = [(each, parties.grant(each, ItemMode.J, **limits)) for each in made]
    parties.catch_up()
    return both


def narrowed(parties: Parties, enterprise: Enterprise, document: ConsentDocument, **changes: Any) -> None:
    """The enterprise replaces its consent by a later version of it."""
    later = msgspec.structs.replace(document, record_version=2, prev_record_sm3=sm3(encode(document)).hex(), **changes)
    provider = document.recipients.data_source
    parties.hub.append(f"consent/{provider}", parties.hub.entry("consent", later, enterprise.key))


def joint_terms(parties: Parties, *items: str) -> ExchangeTerms:
    """An exchange for these items of the provider."""
    uses = tuple(
        ItemUse(item_id=item, mode=ItemMode.J, fields=FIELDS if item == ITEM else ()) for item in items or (ITEM,)
    )
    return parties.terms(ExchangeMode.JOINT, uses)


def proposal(rows: int, **changes: Any) -> Proposal:
    """A job over so many rows."""
    said = Proposal(
        job="ab" * 16,
        name="risk",
        algorithm="boosting",
        settings={"trees": 3},
        items=(ItemColumns(item_id=ITEM, fields=dict.fromkeys(FIELDS)),),
        rows=rows,
        training=max(1, rows // 2),
        parties=2,
    )
    return msgspec.structs.replace(said, **changes)


def provider_node(parties: Parties, minimum_rows: int = 3) -> JointNode:
    """The provider's."""
    return JointNode(
        home=parties.home,
        store=parties.provider_store,
        replica=parties.replica,
        tables=cast(Any, parties.tables),
        catalogue=CATALOGUE,
        rules=RULES,
        identity=parties.tax_key,
        member_id=PROVIDER,
        node_id="tax-1",
        max_staleness_ms=60_000,
        minimum_rows=minimum_rows,
        executor="",
        minimum_sum=1,
        selection=True,
        clock=lambda: parties.now_ms,
        new_id=lambda: str(uuid.uuid4()),
        written=lambda: None,
    )


def bank_context(parties: Parties) -> ExchangeContext:
    """The bank's: what the choice of rows reads. Its copy of the consents is that of this moment."""
    hub = parties.hub
    replica = Replica(member_id=BANK, hub_key=hub.key.public)
    replica.apply_entries(DIRECTORY, 0, hub.logs[DIRECTORY])
    seq = 0
    for origin, leaves in hub.logs.items():
        for index, leaf in enumerate(leaves if origin != DIRECTORY else ()):
            seq += 1
            replica.apply_grantee_entry(
                seq=seq,
                origin=origin,
                index=index,
                leaf=leaf,
                checkpoint=hub.checkpoint(origin, time_ms=parties.now_ms),
                path=hub.inclusion(origin, index, len(leaves)),
                now_ms=parties.now_ms,
            )
    given = SimpleNamespace(
        replica=replica,
        settings=SimpleNamespace(member_id=BANK),
        catalogue=CATALOGUE,
        rules=RULES,
        clock=lambda: parties.now_ms,
    )
    return cast(ExchangeContext, given)
