"""The notice that an enterprise is shown before it signs a consent, with the leak statement of each mode; consents carry its digest."""

from __future__ import annotations

from typing import Final

from consent.documents import NoticePart
from trust.suite import sm3

NOTICE_TEXT: Final = (
    "Your data named below is given by its provider to the institution named below, for the purpose and time named below. "
    "The hub between them relays encrypted data and learns who exchanged how much with whom and when. "
    "In a query or raw transfer the institution learns the values; in verification it learns yes or no, or a band. "
    "You can withdraw at any time; what was used before stays used, and every use is in a log that you can verify."
)
NOTICE: Final = NoticePart(notice_id="exchange-notice", version="1", sm3=sm3(NOTICE_TEXT.encode()).hex(), language="en")
"""What a consent made by this software refers to."""
