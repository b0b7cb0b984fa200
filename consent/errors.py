"""What can be wrong with documents, identifiers and dictionary data: a small tree with stable codes."""

from __future__ import annotations

from typing import ClassVar


class ConsentError(Exception):
    """Base. The message says what happened, to what, and what to do."""

    code: ClassVar[str] = "CONSENT_ERROR"


class DocumentMalformed(ConsentError):
    """A document does not have the form that its type requires."""

    code = "CONSENT_MALFORMED"


class IdentifierInvalid(ConsentError):
    """An identifier does not have its form."""

    code = "IDENTIFIER_INVALID"


class UsccInvalid(IdentifierInvalid):
    """A text is no unified social credit code."""

    code = "USCC_INVALID"


class ValueInvalid(ConsentError, ValueError):
    """A value does not fit its field. The message says what is wrong and never repeats the value: it may be data of an enterprise."""

    code = "VALUE_INVALID"


class ItemUnknown(ConsentError):
    """The catalogue has no such item."""

    code = "ITEM_UNKNOWN"


class CatalogueInvalid(ConsentError):
    """A data file of the dictionary is not usable."""

    code = "CATALOGUE_INVALID"


class ConsentConflict(ConsentError):
    """A document contradicts what was recorded before."""

    code = "CONSENT_CONFLICT"


class DirectoryRule(ConsentError):
    """An entry breaks a rule of the directory."""

    code = "DIRECTORY_RULE"
