"""What the pages of this subject share: names of items and members, words for codes, the notice in the visitor's language."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import Request

from consent.catalogue import load_catalogue
from portal.consents.notice import NOTICES
from portal.consents.words import MODES, PURPOSES, ROLES, STATES, USES
from portal.web.pages import portal_of
from portal.web.visits import visit_of


async def words(request: Request) -> dict[str, Any]:
    """The words that templates of this subject use. Raises PortalError UNAVAILABLE."""
    language, catalogue = visit_of(request).language, load_catalogue()
    members = await asyncio.to_thread(portal_of(request).link.members)
    return {
        "purposes": PURPOSES,
        "modes": MODES,
        "states": STATES,
        "kinds": USES,
        "roles": ROLES,
        "items": {item.id: item.name if language == "zh" else item.name_en for item in catalogue.items.values()},
        "item_fields": {item.id: [field.name for field in item.fields] for item in catalogue.items.values()},
        "members": {member.member_id: member.name for member in members},
        "banks": [member for member in members if member.kind == "bank"],
        "notice": NOTICES[language],
    }
