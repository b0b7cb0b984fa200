"""What an application, or an enterprise by hand, wants a bank to be allowed; and what of it stands already or is to be signed.

How another subject uses it (`portal.consents.granting`). Each raises KeyLocked where the session has no open key, and KeyOutside where
the enterprise keeps its key itself, which lead to `/unlock` and `/outside` by themselves; PortalError where the hub refuses or is away:

    wanted = Wanted(
        user="bank-a",                                  # the bank's member id: who will use the data
        purpose=Purpose.PRE_LOAN,
        items=(WantedItem(item_id="tax_payment_summary"), WantedItem(item_id="social_insurance", mode=ItemMode.V)),
        application_no="A2026000123",
        valid_days=90, keep_days=180, max_uses=None,
    )
    needed = await granting.needed(portal, who, wanted)  # asks the hub; signs nothing
    needed.complete                                      # True: consents in force cover all of it
    needed.standing                                      # those consents; `each.consent.record_id`
    needed.to_sign                                       # one `Draft` a provider
    needed.missing                                       # items that no provider offers in this mode: the application cannot have them
    record_ids = await granting.sign(portal, who, wanted, separate=False)
                                                         # signs what is to be signed, returns every consent that covers, old and new
    await granting.covering(portal, who, "bank-a", Purpose.PRE_LOAN, ["tax_payment_summary"])
                                                         # consents in force that cover at least one of the items for that bank

Send the enterprise to `grant_path(wanted, back="/applications/A2026000123")` to have the page that tells it all in plain words and
signs; it comes back to `back` when everything is signed.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode

from consent.documents import ItemMode, ItemScope, Purpose
from portal.hub_link import Standing


@dataclass(frozen=True, kw_only=True)
class WantedItem:
    """An item of the catalogue.

    `mode`: None for the first that item and purpose allow. `provider`: empty for whoever offers it at the hub. `fields`: none named,
    all of them.
    """

    item_id: str
    mode: ItemMode | None = None
    provider: str = ""
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A use that an enterprise is to consent to. Days are cut to what the usage rules allow for purpose and level.

    `user`: the member that will use the data; `max_uses`: None for as many as it needs.
    """

    user: str
    purpose: Purpose
    items: tuple[WantedItem, ...]
    application_no: str = ""
    valid_days: int = 90
    keep_days: int = 90
    max_uses: int | None = None


@dataclass(frozen=True, kw_only=True)
class Draft:
    """The terms of one consent that is to be signed: one provider's items. `separate`: the items need a consent of their own."""

    provider: str
    user: str
    purpose: Purpose
    scope: tuple[ItemScope, ...]
    application_no: str
    valid_days: int
    keep_days: int
    max_uses: int | None
    separate: bool


@dataclass(frozen=True, kw_only=True)
class Needed:
    """What a use needs. `public`: items that need no consent; `missing`: items that nobody offers so."""

    standing: tuple[Standing, ...]
    to_sign: tuple[Draft, ...]
    public: tuple[str, ...]
    missing: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether everything is consented to."""
        return not self.to_sign and not self.missing


def grant_path(wanted: Wanted, back: str = "/consents") -> str:
    """The page that tells what is wanted in plain words and signs it; `back`: where it leads to afterwards."""
    query = {
        "user": wanted.user,
        "purpose": wanted.purpose.value,
        "items": ",".join(_written(each) for each in wanted.items),
        "application_no": wanted.application_no,
        "valid_days": wanted.valid_days,
        "keep_days": wanted.keep_days,
        "max_uses": wanted.max_uses or "",
        "back": back,
    }
    return f"/consents/grant?{urlencode({name: value for name, value in query.items() if value != ''})}"


def _written(item: WantedItem) -> str:
    """An item as `id:mode:provider:field+field`, without what is empty at the end."""
    parts = (item.item_id, item.mode.value if item.mode else "", item.provider, "+".join(item.fields))
    return ":".join(parts).rstrip(":")
