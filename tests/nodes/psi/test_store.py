"""What a node keeps of comparisons."""

from __future__ import annotations

from consent.documents import ExchangeMode
from nodes.psi.outcome import Compared, Outcome
from nodes.psi.store import PsiStore, Target, begin_part
from tests.nodes.exchanges.parties import Parties
from tests.nodes.psi.two_nodes import BASIS, psi_terms, rule

TARGETS = (Target(provider="tax-bureau", product_id="p", item_id="i"),)


def outcome(run_id: str) -> Outcome:
    told = Compared(member="tax-bureau", product_id="p", item_id="i", exchange_id="x", legal_basis=BASIS, common=120)
    return Outcome(run_id=run_id, mode="size", keep="all", own=300, size=120, minimum=100, providers=(told,))


async def test_runs_are_listed_newest_first_with_how_they_ended(parties: Parties) -> None:
    kept = PsiStore(parties.bank_store)
    for number, run_id in enumerate(("one", "two", "three")):
        await kept.add(run_id, "psi_size", TARGETS, "", number)
    await kept.finish("one", outcome("one"), 9)
    await kept.fail("two", "PSI_LIMIT_REACHED: today", 9)
    await kept.fail("one", "an end is never changed", 10)
    found = {each.run_id: each for each in await kept.records()}
    assert list(found) == ["three", "two", "one"]
    assert [(each.state, each.size) for each in found.values()] == [
        ("running", None),
        ("failed", None),
        ("finished", 120),
    ]
    assert (found["one"].failure, found["one"].legal_basis, found["one"].members) == ("", BASIS, ("tax-bureau",))


async def test_after_a_restart_whatever_ran_is_over_for_both_roles(parties: Parties) -> None:
    store = parties.provider_store
    kept, terms = PsiStore(store), psi_terms(parties, ExchangeMode.PSI_ROWS)
    await kept.add("mine", "psi_rows", TARGETS, "/out", 1)
    await kept.opened("mine", ("a", "b"))
    await kept.add("done", "psi_size", TARGETS, "", 2)
    await kept.opened("done", ("c",))
    await kept.finish("done", outcome("done"), 3)
    await store.write(lambda connection: begin_part(connection, terms.request, "theirs", rule(), "receipt", 4))
    assert await kept.break_off(5) == ("a", "b")
    assert await kept.break_off(6) == ()
    assert {(each.run_id, each.role, each.state) for each in await kept.records()} == {
        ("mine", "active", "failed"),
        ("done", "active", "finished"),
        ("theirs", "passive", "failed"),
    }
