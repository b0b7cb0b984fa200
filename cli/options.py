"""Options that several commands share, and how items are written on the command line.

An item is ``id``, ``id:mode`` or ``id:mode:field,field``: ``tax_registration:Q:status,taxpayer_level``. Without a mode the
catalogue's first mode for the item is meant; without fields all that are consented to.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from cli.errors import CliError
from consent.catalogue import load_catalogue
from consent.decision import ItemUse
from consent.documents import ItemMode, Purpose

HubHome = Annotated[Path, typer.Option("--home", envvar="XINQIAO_HUB_HOME", help="Home folder of the hub.")]
NodeHome = Annotated[Path, typer.Option("--home", envvar="XINQIAO_NODE_HOME", help="Home folder of the node.")]
SubjectHome = Annotated[
    Path,
    typer.Option(
        "--home", envvar="XINQIAO_ENTERPRISE_HOME", help="Home folder of the enterprise: its key and what it saw."
    ),
]
Items = Annotated[
    list[str],
    typer.Option(
        "--item", help="An item as id[:mode[:field,field]], as in tax_registration:Q:status. Repeat for several."
    ),
]
PurposeOption = Annotated[
    Purpose, typer.Option("--purpose", help="What the data is used for; the consent must name it.")
]
UseReason = Annotated[
    str, typer.Option("--reason", help="Why, in words; it stands in the record of use that the enterprise sees.")
]
ApplicationNo = Annotated[
    str, typer.Option("--application-no", help="Number of the loan application or the like that this belongs to.")
]
Provider = Annotated[str, typer.Option("--provider", help="Member that provides the data.")]
UsccOption = Annotated[str, typer.Option("--uscc", help="Unified social credit code of the enterprise, 18 characters.")]
UserOption = Annotated[
    str,
    typer.Option("--user", help="Who asks; stands in the record of use. Default: the account that runs the command."),
]


def parse_items(texts: Iterable[str]) -> tuple[ItemUse, ...]:
    """Read items. Raises CliError INVALID_ARGUMENT, ItemUnknown for one that the catalogue does not have."""
    items = tuple(_parse_item(text) for text in texts)
    if not items:
        raise CliError("INVALID_ARGUMENT", "No item is named. Name one by --item; `xinqiao node catalogue` lists them.")
    return items


def _parse_item(text: str) -> ItemUse:
    item_id, _, rest = text.partition(":")
    mode, _, fields = rest.partition(":")
    known = load_catalogue().item(item_id)
    names = tuple(name for name in fields.split(",") if name)
    try:
        chosen = ItemMode(mode) if mode else known.modes[0]
    except ValueError:
        modes = ", ".join(known.modes)
        raise CliError("INVALID_ARGUMENT", f"Item {text!r} names no mode of {item_id}; it has {modes}.") from None
    if not known.has_fields(names):
        all_names = ", ".join(known.by_name)
        raise CliError("INVALID_ARGUMENT", f"Item {text!r} names a field that {item_id} lacks; it has {all_names}.")
    return ItemUse(item_id=item_id, mode=chosen, fields=names)


def items_json(items: Sequence[ItemUse]) -> bytes:
    """The items as the agent takes them."""
    return msgspec.json.encode(items)


def user_name(given: str) -> str:
    """The user to record: as given, or the account that runs the command."""
    return given or getpass.getuser()
