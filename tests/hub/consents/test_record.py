from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import func, select

from consent.documents import CONSENT_TYPE, Recipients, encode
from hub.consents import record, service
from hub.errors import HubError
from hub.logs import service as logs
from hub.logs.tables import checkpoints
from tests.hub.live import BANK, PROVIDER, USCC, consent
from tests.hub.world import World, in_one_group
from trust.checkpoint import Checkpoint, open_checkpoint
from trust.document import SignedDocument, sign_document
from trust.merkle import leaf_hash, verify_inclusion


@pytest.fixture
def peopled(world: World) -> World:
    """A provider, a second one, a bank and an enterprise."""
    for member_id in (PROVIDER, "platform", BANK):
        world.admit(member_id)
    world.approve_subject(USCC)
    return world


def signed(world: World, provider: str = PROVIDER) -> SignedDocument:
    given = consent(given_ms=world.clock(), recipients=Recipients(data_source=provider, data_users=(BANK,)))
    return sign_document(CONSENT_TYPE, encode(given), world.subject_keys[USCC])


def proved(world: World, one: record.Recorded) -> Checkpoint:
    head = open_checkpoint(SignedDocument.decode(one.checkpoint), world.hub.keys.public)
    assert head.origin == one.origin == logs.consent_origin(one.provider)
    verify_inclusion(leaf_hash(one.entry), one.log_index, head.size, one.path, head.root)
    return head


async def test_entries_that_are_written_together_are_proved_under_one_checkpoint_a_log(peopled: World) -> None:
    hub, prove = peopled.hub, partial(record.proven, peopled.hub)
    documents = [signed(peopled, "platform" if number % 3 == 0 else PROVIDER) for number in range(9)]
    answers = await in_one_group(
        hub.db,
        *(hub.db.write(lambda write, each=each: service.submit(hub, write, each), prove) for each in documents),  # type: ignore[misc]
    )
    for document, one in zip(documents, answers, strict=True):
        assert proved(peopled, one).size == (3 if one.provider == "platform" else 6)
        assert SignedDocument.decode(one.entry).payload == document.payload
    assert await hub.db.read(lambda read: read.execute(select(func.count()).select_from(checkpoints)).scalar()) == 2


async def test_an_entry_that_was_there_before_is_proved_under_the_checkpoint_of_now(peopled: World) -> None:
    hub, prove, document = peopled.hub, partial(record.proven, peopled.hub), signed(peopled)

    async def submit(what: SignedDocument) -> record.Recorded:
        return await hub.db.write(lambda write: service.submit(hub, write, what), prove)

    first, again = await submit(document), await submit(document)
    assert again == first
    await submit(signed(peopled))
    later = await submit(document)
    assert (later.log_index, later.entry) == (0, first.entry)
    assert (proved(peopled, first).size, proved(peopled, later).size) == (1, 2)
    peopled.clock.advance(hub.settings.checkpoint_interval_s + 1)
    assert proved(peopled, await submit(document)).time_ms == peopled.clock()


async def test_what_is_not_in_the_log_is_not_proved(peopled: World) -> None:
    hub = peopled.hub
    await hub.db.write(lambda write: service.submit(hub, write, signed(peopled)))
    with pytest.raises(HubError, match="no inclusion proof"):
        await hub.db.write(
            lambda _: record.Written(provider=PROVIDER, log_index=1),
            lambda write, each: record.proven(hub, write, each),
        )


async def test_the_newest_date_of_a_log_does_not_go_back(peopled: World) -> None:
    hub, late, early = peopled.hub, signed(peopled), None
    peopled.clock.advance(-30)
    early = signed(peopled)
    peopled.clock.advance(30)
    for each in (late, early):
        await hub.db.write(lambda write, each=each: service.submit(hub, write, each))  # type: ignore[misc]
    newest = await hub.db.read(lambda read: read.execute(select(record.consent_heads.c.newest_ms)).scalar())
    assert newest == peopled.clock()
