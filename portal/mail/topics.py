"""What notices are about: an account says by topic whether it wants them in its inbox and by e-mail."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from portal.text import Text


class Topic(StrEnum):
    """One switch for all notices of a kind."""

    LOGIN = "login"
    REGISTRATION = "registration"
    APPLICATION = "application"
    CONSENT_ASKED = "consent_asked"
    CONSENT_USED = "consent_used"
    CONSENT_EXPIRES = "consent_expires"
    CONSENT_WITHDRAWN = "consent_withdrawn"
    REVIEW = "review"
    PUBLISHING = "publishing"
    QUESTION = "question"
    ALERT = "alert"


TITLES: Final[Mapping[Topic, Text]] = {
    Topic.LOGIN: Text("A login from a new place, a new password or access"),
    Topic.REGISTRATION: Text("Your registration was decided"),
    Topic.APPLICATION: Text("An application or loan has moved"),
    Topic.CONSENT_ASKED: Text("Somebody asks for your consent"),
    Topic.CONSENT_USED: Text("Your data was used for the first time"),
    Topic.CONSENT_EXPIRES: Text("A consent is about to expire"),
    Topic.CONSENT_WITHDRAWN: Text("A withdrawal was confirmed"),
    Topic.REVIEW: Text("Something waits for your review"),
    Topic.PUBLISHING: Text("A product, text or institution of yours was decided"),
    Topic.QUESTION: Text("A question or an answer"),
    Topic.ALERT: Text("A risk alert"),
}
# Who could switch this off could log in unseen.
ALWAYS_IN_INBOX: Final = frozenset({Topic.LOGIN})

# By the longest beginning of the kind's name.
_BEGINNINGS: Final[Mapping[str, Topic]] = {
    "new_source": Topic.LOGIN,
    "password": Topic.LOGIN,
    "second_factor": Topic.LOGIN,
    "client": Topic.LOGIN,
    "registration": Topic.REGISTRATION,
    "registration_waits": Topic.REVIEW,
    "application": Topic.APPLICATION,
    "application_waits": Topic.REVIEW,
    "financing": Topic.APPLICATION,
    "role": Topic.LOGIN,
    "institution": Topic.PUBLISHING,
    "institution_waits": Topic.REVIEW,
    "credit": Topic.APPLICATION,
    "consent_asked": Topic.CONSENT_ASKED,
    "consent_used": Topic.CONSENT_USED,
    "consent_expires": Topic.CONSENT_EXPIRES,
    "consent_withdrawn": Topic.CONSENT_WITHDRAWN,
    "product": Topic.PUBLISHING,
    "product_waits": Topic.REVIEW,
    "content": Topic.PUBLISHING,
    "content_waiting": Topic.REVIEW,
    "question": Topic.QUESTION,
    "alert": Topic.ALERT,
}


def topic_of(kind: str) -> Topic:
    """The topic of a kind of notice. Raises KeyError for a kind that belongs to none."""
    found = max((one for one in _BEGINNINGS if kind.startswith(one)), key=len, default="")
    return _BEGINNINGS[found]
