"""The hub as the portal sees it. The command implements it over gRPC (`cli.portal_link`), tests by a simulator."""

from __future__ import annotations

from typing import Protocol

from portal.errors import PortalError
from portal.text import Text
from trust.document import SignedDocument
from trust.sm2 import PrivateKey


class HubLink(Protocol):
    """Calls block: they are made on a thread. Each raises PortalError HUB_REFUSED or UNAVAILABLE."""

    def alive(self) -> bool:
        """Whether the hub answers."""

    def approve_enterprise(self, registration: SignedDocument, operator: str, key: PrivateKey) -> int:
        """Leave an enterprise's registration at the hub and bind its key by the operator's signature.

        Returns the index of the directory's entry. Doing it again changes nothing.
        """


def hub_away() -> PortalError:
    """The hub does not answer."""
    return PortalError("UNAVAILABLE", Text("The hub does not answer. Nothing was changed; try again soon."))


def hub_refused(reason: str) -> PortalError:
    """The hub answered with a refusal; its own sentence is English."""
    return PortalError("HUB_REFUSED", Text("The hub refused: {reason}", reason=reason))
