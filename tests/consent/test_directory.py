"""The directory: who may enter what, one attack a test; what was refused leaves no trace."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from consent.directory import (
    Directory,
    DirectoryRule,
    MemberAdmitted,
    MemberSuspended,
    NodeRevoked,
    OperatorKey,
    ProductItem,
    ProductPublished,
    ProductWithdrawn,
    SubjectKeyRevoked,
)
from consent.documents import ItemMode
from consent.errors import ConsentError, DocumentMalformed
from tests.consent.builders import (
    BANK,
    DAY,
    NOW,
    OTHER_USCC,
    PROVIDER,
    USCC,
    World,
    admitted,
    enrolled,
    key,
    public,
    signed,
    subject_key,
)
from trust.errors import KeyMalformed, SignatureInvalid, TrustError

PRODUCT = ProductPublished(
    product_id="tax-basics",
    provider=PROVIDER,
    title="Tax basics",
    items=(ProductItem(item_id="tax_registration", modes=(ItemMode.Q,)),),
    time_ms=NOW,
)


@pytest.fixture
def world() -> World:
    return World()


def rotated(**changes: object) -> msgspec.Struct:
    """Return the second key of the first enterprise."""
    second = {
        "public_key": public("second"),
        "version": 2,
        "prev_key_id": key(USCC).public.key_id,
        "time_ms": NOW + DAY,
    }
    return subject_key(USCC, **(second | changes))


def test_the_honest_beginning_can_be_looked_up(world: World) -> None:
    directory = world.directory
    assert directory.member(PROVIDER) is not None
    assert [member.member_id for member in directory.members()] == [PROVIDER, BANK]
    assert [node.node_id for node in directory.nodes_of(BANK)] == ["firstbank-1"]
    assert directory.node("taxoffice-1").identity_key == key("taxoffice-1").public
    assert directory.operator_key("op") == key("operator").public
    assert directory.subject_key(USCC) == key(USCC).public
    assert directory.size == 7
    assert directory.member("nobody") is directory.node("nobody") is directory.product("none") is None
    assert directory.subject_key("nobody") is directory.operator_key("nobody") is None


ATTACKS: list[tuple[str, str, msgspec.Struct, str, str | None, type[Exception]]] = [
    ("an entry without the hub", "member-admitted", admitted("third", "bank"), "operator", None, SignatureInvalid),
    ("an entry of another hub", "member-admitted", admitted("third", "bank"), "operator", "evil hub", SignatureInvalid),
    (
        "a member that no operator admitted",
        "member-admitted",
        admitted("third", "bank"),
        "hub",
        "hub",
        SignatureInvalid,
    ),
    (
        "a member admitted by an unknown operator",
        "member-admitted",
        msgspec.structs.replace(admitted("third", "bank"), operator="nobody"),
        "operator",
        "hub",
        DirectoryRule,
    ),
    ("a member admitted twice", "member-admitted", admitted(BANK, "bank"), "operator", "hub", DirectoryRule),
    ("a node of an unknown member", "node-enrolled", enrolled("n-9", "nobody"), "n-9", "hub", DirectoryRule),
    (
        "a node with a key that is not its own",
        "node-enrolled",
        enrolled("n-9", BANK),
        "firstbank-1",
        "hub",
        SignatureInvalid,
    ),
    ("a node enrolled twice", "node-enrolled", enrolled("firstbank-1", BANK), "firstbank-1", "hub", DirectoryRule),
    (
        "a node renamed with another's key",
        "node-enrolled",
        enrolled("n-9", BANK, "taxoffice-1"),
        "taxoffice-1",
        "hub",
        DirectoryRule,
    ),
    (
        "a node with a key off the curve",
        "node-enrolled",
        msgspec.structs.replace(enrolled("n-9", BANK), identity_key="04" + "11" * 64),
        "n-9",
        "hub",
        KeyMalformed,
    ),
    (
        "a key swapped without a version",
        "subject-key",
        rotated(version=1, prev_key_id=None),
        "operator",
        "hub",
        DirectoryRule,
    ),
    ("a key that skips a version", "subject-key", rotated(version=3), "operator", "hub", DirectoryRule),
    (
        "a key that names another before it",
        "subject-key",
        rotated(prev_key_id="sm2:0"),
        "operator",
        "hub",
        DirectoryRule,
    ),
    (
        "a key that begins before the last one",
        "subject-key",
        rotated(time_ms=NOW - 1),
        "operator",
        "hub",
        DirectoryRule,
    ),
    ("a key that the hub alone made up", "subject-key", rotated(), "hub", "hub", SignatureInvalid),
    ("a key that the enterprise approved itself", "subject-key", rotated(), USCC, "hub", SignatureInvalid),
    (
        "the end of a key that is not the present one",
        "subject-key-revoked",
        SubjectKeyRevoked(uscc=USCC, key_id="sm2:0", reason="lost", time_ms=NOW, operator="op"),
        "operator",
        "hub",
        DirectoryRule,
    ),
    ("a product by a node of another member", "product-published", PRODUCT, "firstbank-1", "hub", DirectoryRule),
    (
        "the withdrawal of a product that is not there",
        "product-withdrawn",
        ProductWithdrawn(product_id="tax-basics", provider=PROVIDER, time_ms=NOW),
        "taxoffice-1",
        "hub",
        DirectoryRule,
    ),
    (
        "the end of an unknown node",
        "node-revoked",
        NodeRevoked(node_id="n-9", reason="", time_ms=NOW, operator="op"),
        "operator",
        "hub",
        DirectoryRule,
    ),
    (
        "the suspension of an unknown member",
        "member-suspended",
        MemberSuspended(member_id="nobody", reason="", time_ms=NOW, operator="op"),
        "operator",
        "hub",
        DirectoryRule,
    ),
    (
        "an operator whom the hub did not name",
        "operator-key",
        OperatorKey(operator="op2", public_key=public("thief"), time_ms=NOW),
        "thief",
        None,
        SignatureInvalid,
    ),
    ("an entry of an unknown type", "coronation", admitted("third", "bank"), "operator", "hub", DirectoryRule),
    ("an entry under another's type", "node-revoked", admitted("third", "bank"), "operator", "hub", DocumentMalformed),
]


@pytest.mark.parametrize(
    ("name", "document", "signer", "hub", "error"), [row[1:] for row in ATTACKS], ids=[row[0] for row in ATTACKS]
)
def test_an_entry_that_breaks_a_rule_is_refused_and_changes_nothing(
    world: World, name: str, document: msgspec.Struct, signer: str, hub: str | None, error: type[Exception]
) -> None:
    before = repr(vars(world.directory))
    with pytest.raises(error):
        world.enter(name, document, signer, hub=hub)
    assert repr(vars(world.directory)) == before


@pytest.mark.parametrize("index", [0, 6, 8, -1])
def test_an_entry_at_another_place_is_refused(world: World, index: int) -> None:
    entry = signed("member-admitted", admitted("third", "bank"), "operator")
    with pytest.raises(DirectoryRule, match="due"):
        world.directory.apply(index, entry, key("hub").public)


def test_a_key_is_replaced_by_its_next_version_and_the_old_one_stays_for_its_time(world: World) -> None:
    world.enter("subject-key", rotated(), "operator")
    directory = world.directory
    assert directory.subject_key(USCC) == key("second").public
    assert directory.subject_key(USCC, NOW) == key(USCC).public
    assert directory.subject_key(USCC, NOW + DAY - 1) == key(USCC).public
    assert directory.subject_key(USCC, NOW + DAY) == key("second").public
    assert directory.subject_key(USCC, NOW - 1) is None
    assert directory.subject_key(OTHER_USCC) == key(OTHER_USCC).public


def test_a_lost_key_speaks_for_nobody_from_then_on(world: World) -> None:
    lost = SubjectKeyRevoked(uscc=USCC, key_id=key(USCC).public.key_id, reason="lost", time_ms=NOW + 5, operator="op")
    world.enter("subject-key-revoked", lost, "operator")
    assert world.directory.subject_key(USCC) is None
    assert world.directory.subject_key(USCC, NOW + 5) is None
    assert world.directory.subject_key(USCC, NOW + 4) == key(USCC).public
    world.enter("subject-key", rotated(), "operator")
    assert world.directory.subject_key(USCC) == key("second").public
    assert world.directory.subject_key(USCC, NOW + 10) is None


@pytest.mark.parametrize("lost", [False, True])
def test_a_key_that_ended_is_never_the_enterprises_again(world: World, lost: bool) -> None:
    if lost:
        entry = SubjectKeyRevoked(uscc=USCC, key_id=key(USCC).public.key_id, reason="", time_ms=NOW + 5, operator="op")
        world.enter("subject-key-revoked", entry, "operator")
    else:
        world.enter("subject-key", rotated(), "operator")
    last = world.directory.subject(USCC)
    again = rotated(public_key=public(USCC), version=last.version + 1, prev_key_id=last.key.key_id)
    with pytest.raises(DirectoryRule, match="was ended"):
        world.enter("subject-key", again, "operator")
    assert world.directory.subject_keys_ever(USCC)[0].key == key(USCC).public


def test_a_revoked_node_stays_known_and_never_comes_back(world: World) -> None:
    world.enter(
        "node-revoked", NodeRevoked(node_id="firstbank-1", reason="stolen", time_ms=NOW, operator="op"), "operator"
    )
    assert world.directory.nodes_of(BANK) == ()
    assert world.directory.node("firstbank-1").revoked
    with pytest.raises(DirectoryRule):
        world.enter("node-enrolled", enrolled("firstbank-1", BANK), "firstbank-1")
    with pytest.raises(DirectoryRule):
        world.enter("node-enrolled", enrolled("firstbank-2", BANK, "firstbank-1"), "firstbank-1")


def test_a_suspended_member_gets_no_node_and_no_product_until_it_is_admitted_anew(world: World) -> None:
    suspended = MemberSuspended(member_id=PROVIDER, reason="audit", time_ms=NOW, operator="op")
    world.enter("member-suspended", suspended, "operator")
    assert world.directory.member(PROVIDER).suspended_ms == NOW
    with pytest.raises(DirectoryRule):
        world.enter("node-enrolled", enrolled("taxoffice-2", PROVIDER), "taxoffice-2")
    with pytest.raises(DirectoryRule):
        world.enter("product-published", PRODUCT, "taxoffice-1")
    world.enter("member-admitted", admitted(PROVIDER, "government"), "operator")
    assert world.directory.member(PROVIDER).suspended_ms is None
    world.enter("product-published", PRODUCT, "taxoffice-1")


def test_a_member_keeps_its_uscc(world: World) -> None:
    third = MemberAdmitted(member_id="third", name="Third", kind="bank", uscc=OTHER_USCC, time_ms=NOW, operator="op")
    world.enter("member-admitted", third, "operator")
    assert world.directory.member("third").uscc == OTHER_USCC


def test_a_product_is_published_raised_withdrawn_and_published_anew(world: World) -> None:
    world.enter("product-published", PRODUCT, "taxoffice-1")
    assert [each.published for each in world.directory.products()] == [PRODUCT]
    with pytest.raises(DirectoryRule, match="version"):
        world.enter("product-published", PRODUCT, "taxoffice-1")
    world.enter("product-published", msgspec.structs.replace(PRODUCT, version=2), "taxoffice-1")
    world.enter(
        "product-withdrawn",
        ProductWithdrawn(product_id="tax-basics", provider=PROVIDER, time_ms=NOW + 1),
        "taxoffice-1",
    )
    assert world.directory.products() == ()
    assert world.directory.product("tax-basics").withdrawn_ms == NOW + 1
    world.enter("product-published", msgspec.structs.replace(PRODUCT, version=3), "taxoffice-1")
    assert world.directory.product("tax-basics").published.version == 3


def test_nobody_takes_over_the_product_of_another(world: World) -> None:
    world.enter("product-published", PRODUCT, "taxoffice-1")
    stolen = msgspec.structs.replace(PRODUCT, provider=BANK, version=2)
    with pytest.raises(DirectoryRule, match="belongs"):
        world.enter("product-published", stolen, "firstbank-1")


@pytest.mark.parametrize(
    "change",
    [
        lambda entry: msgspec.structs.replace(entry, items=()),
        lambda entry: msgspec.structs.replace(entry, product_id="A product"),
        lambda entry: msgspec.structs.replace(entry, title=""),
        lambda entry: msgspec.structs.replace(entry, version=0),
    ],
)
def test_a_malformed_product_is_refused(world: World, change: Callable[[msgspec.Struct], msgspec.Struct]) -> None:
    with pytest.raises(DocumentMalformed):
        world.enter("product-published", change(PRODUCT), "taxoffice-1")


def test_two_folds_of_one_log_agree() -> None:
    one, other = World(), World()
    assert repr(vars(one.directory)) == repr(vars(other.directory))


def test_what_was_verified_before_folds_to_the_same_without_a_signature_computed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.enter("subject-key", rotated(), "operator")
    world.enter("product-published", PRODUCT, "taxoffice-1")
    monkeypatch.setattr("trust.document.verify_signature", None)  # calling it would fail
    restored = Directory()
    restored.restore(world.entries, key("hub").public)
    assert repr(vars(restored)) == repr(vars(world.directory))
    monkeypatch.undo()
    with pytest.raises(SignatureInvalid):  # what comes later is verified in full
        restored.apply(restored.size, signed("member-admitted", admitted("third", "bank"), "hub"), key("hub").public)


@pytest.mark.parametrize(
    ("name", "document", "signer", "hub", "error"),
    [row[1:] for row in ATTACKS],
    ids=[row[0] for row in ATTACKS],
)
def test_restoring_keeps_every_rule_and_the_names_of_the_signers(
    world: World, name: str, document: msgspec.Struct, signer: str, hub: str | None, error: type[Exception]
) -> None:
    before = repr(vars(world.directory))
    with pytest.raises(error):
        world.directory.restore([signed(name, document, signer, hub=hub)], key("hub").public)
    assert repr(vars(world.directory)) == before


def test_a_copy_and_its_original_go_separate_ways(world: World) -> None:
    before, copy = repr(vars(world.directory)), world.directory.copy()
    assert repr(vars(copy)) == before
    copy.apply(copy.size, signed("subject-key", rotated(), "operator"), key("hub").public)
    assert repr(vars(world.directory)) == before
    assert copy.subject_key(USCC) == key("second").public


def test_every_refusal_has_a_code_and_says_something() -> None:
    for name, document, signer, hub, _ in (row[1:] for row in ATTACKS):
        with pytest.raises((ConsentError, TrustError)) as refusal:
            World().enter(name, document, signer, hub=hub)
        assert refusal.value.code.isupper()
        assert len(str(refusal.value)) > 30


def test_an_empty_directory_knows_nobody() -> None:
    assert Directory().members() == Directory().products() == ()
