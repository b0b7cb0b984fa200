"""The seeds of masks that a provider shares with each other provider of a session.

Of each pair the one of the lower place draws the seed. It goes through the bank, which cannot read it: the two shake hands by their
identity keys of the directory, bound to the session (`nodes.party.tunnel`).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Final

from modeling.scoring.masks import SEED_BYTES, new_seed
from nodes.errors import ExchangeFailed
from nodes.exchanges.session import PeerRestarted
from nodes.exchanges.terms import ExchangeTerms
from nodes.party.tunnel import Send, Tunnel
from nodes.scoring.link import ScoreLink
from nodes.scoring.messages import Open, Sealed
from nodes.scoring.node import ScoringNode

AGREE_S: Final = 20.0


class Pairs:
    """One provider's pairs in one session."""

    def __init__(self, opened: Open, node: ScoringNode, terms: ExchangeTerms, link: ScoreLink) -> None:
        """Raises ExchangeFailed if another provider is none by the directory."""
        if opened.place in opened.others or len(set(opened.others.values())) != len(opened.others):
            raise ExchangeFailed(
                "The places of the providers of a session are not distinct.", code="PROTOCOL_VIOLATION"
            )
        self.session = opened.session
        self._place = opened.place
        self._link = link
        self._nodes = dict(opened.others)
        self._seeds: dict[int, bytes] = {}
        self._ready = asyncio.Event()
        self._tunnels = {
            place: Tunnel(
                job=opened.session,
                attempt=1,
                own_node=node.node_id,
                peer_node=peer,
                leads=opened.place < place,
                identity=node.identity,
                directory=node.replica.directory,
                apart_from=frozenset({terms.request.requester, node.member_id}),
                send=self._sender(place),
            )
            for place, peer in opened.others.items()
        }

    async def start(self) -> None:
        """Say hello to each; before that none may be heard."""
        for tunnel in self._tunnels.values():
            await tunnel.start()

    async def agree(self) -> dict[int, bytes]:
        """The seed of each pair, by the other's place. Raises ExchangeFailed if another provider does not answer."""
        try:
            async with asyncio.timeout(AGREE_S):
                for place, tunnel in self._tunnels.items():
                    if self._place < place:
                        seed = new_seed()
                        await tunnel.seal(seed)
                        self._seeds[place] = seed
                self._look()
                await self._ready.wait()
        except TimeoutError as error:
            raise ExchangeFailed(
                f"The other provider's node {', '.join(self._silent())} did not answer within {AGREE_S:.0f} s: have its operator look "
                "at it, then ask again.",
                code="DEADLINE_EXCEEDED",
            ) from error
        return dict(self._seeds)

    async def hear(self, place: int, data: bytes) -> None:
        """A frame of another provider. Raises ExchangeFailed if it is not genuine."""
        tunnel = self._tunnels.get(place)
        if tunnel is None:
            raise ExchangeFailed(
                "A frame of a provider came that the session does not have.", code="PROTOCOL_VIOLATION"
            )
        opened = await tunnel.open(data)
        if opened:
            if self._place < place or place in self._seeds or len(opened) != SEED_BYTES:
                raise ExchangeFailed("Another provider sent what is no seed.", code="PROTOCOL_VIOLATION")
            self._seeds[place] = opened
            self._look()

    def _silent(self) -> list[str]:
        return [node for place, node in self._nodes.items() if place not in self._seeds]

    def _look(self) -> None:
        if len(self._seeds) == len(self._tunnels):
            self._ready.set()

    def _sender(self, place: int) -> Send:
        async def send(data: bytes) -> None:
            with suppress(PeerRestarted):  # the session is over, and another will be opened
                await self._link.say(Sealed(session=self.session, place=place), (data,))

        return send
