"""Every table of the portal: importing this module fills `metadata` (the migrations compare the database with it)."""

from __future__ import annotations

from portal import events as _events
from portal.accounts import tables as _accounts
from portal.applications import tables as _applications
from portal.backoffice import tables as _backoffice
from portal.clients import tables as _clients
from portal.consents import tables as _consents
from portal.content import tables as _content
from portal.content.search import index as _search
from portal.credit import tables as _credit
from portal.facts import tables as _facts
from portal.mail import tables as _mail
from portal.products import tables as _products
from portal.questions import tables as _questions
from portal.registration import tables as _registration
from portal.schema import metadata
from portal.statistics import tables as _statistics
from portal.web import once as _once

SUBJECTS = (
    _accounts,
    _applications,
    _clients,
    _consents,
    _content,
    _events,
    _facts,
    _mail,
    _once,
    _products,
    _questions,
    _registration,
    _search,
    _credit,
    _statistics,
    _backoffice,
)

__all__ = ["SUBJECTS", "metadata"]
