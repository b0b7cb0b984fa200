"""The JSON API of seats and questions: the same functions as the pages'."""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field

from portal.forms import fill
from portal.questions import fields, seats, service
from portal.web.authorize import Who, only
from portal.web.pages import portal_of


class QuestionIn(BaseModel):
    """A question to an expert."""

    expert: str = Field(max_length=40)
    subject: str
    text: str


class MessageIn(BaseModel):
    """A message in a question."""

    text: str


class EndIn(BaseModel):
    """The end of a question. `stars`: 1 to 5, 0 for no rating."""

    stars: int = Field(default=0, ge=0, le=5)


def routes(app: FastAPI) -> None:
    """Add the routes of this subject."""

    @app.get("/api/v1/experts", tags=["questions"])
    async def experts(request: Request) -> list[dict[str, Any]]:
        """The experts' seats; `account_id` is whom a question goes to."""
        found = await portal_of(request).db.read(seats.listed)
        told: list[dict[str, Any]] = msgspec.to_builtins(found)
        return told

    @app.get("/api/v1/questions", tags=["questions"])
    async def listed(request: Request, who: Who, state: str = "", sort: str = "", after: str = "") -> dict[str, Any]:
        """One's own questions; for the audit administrator all, without subjects."""
        portal, everything = portal_of(request), only(request, who) is None
        asked = service.LISTING.asked({"state": state, "sort": sort, "after": after})
        asked.filled.require()
        found = await portal.db.read(lambda c: service.listed(portal, c, who, asked, everything=everything))
        following = found.following.partition("?")[2]
        return {"questions": msgspec.to_builtins(found.questions), "following": following}

    @app.get("/api/v1/questions/{question_id}", tags=["questions"])
    async def one(request: Request, who: Who, question_id: str) -> dict[str, Any]:
        """A question with all that was said. The audit administrator's look is recorded."""
        portal = portal_of(request)
        if only(request, who) is None:
            found = await portal.db.write(lambda c: service.audit(portal, c, who, question_id))
        else:
            found = await portal.db.read(lambda c: service.read(portal, c, who, question_id))
        told: dict[str, Any] = msgspec.to_builtins(found)
        return told

    @app.post("/api/v1/questions", tags=["questions"])
    async def ask(request: Request, who: Who, body: QuestionIn) -> dict[str, str]:
        """Ask an expert."""
        portal = portal_of(request)
        given = fill(fields.ASK, {"subject": body.subject, "text": body.text}).require()
        asked = await portal.db.write(
            lambda c: service.ask(portal, c, who, body.expert, given["subject"], given["text"])
        )
        return {"question_id": asked}

    @app.post("/api/v1/questions/{question_id}/messages", tags=["questions"])
    async def write(request: Request, who: Who, question_id: str, body: MessageIn) -> dict[str, str]:
        """Answer, or ask on."""
        portal, text = portal_of(request), fill(fields.WRITE, {"text": body.text}).require()["text"]
        await portal.db.write(lambda c: service.write(portal, c, who, question_id, text))
        return {"question_id": question_id}

    @app.post("/api/v1/questions/{question_id}/end", tags=["questions"])
    async def end(request: Request, who: Who, question_id: str, body: EndIn) -> dict[str, str]:
        """Close one's own question, and rate."""
        portal = portal_of(request)
        await portal.db.write(lambda c: service.end(portal, c, who, question_id, body.stars))
        return {"question_id": question_id}
