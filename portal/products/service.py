"""What others ask about products; how they are published stands in `portal.products.publishing`, how they are found in `search`.

get(connection, product_code)               the version that enterprises see, or saw last (then `publish_state` is offline)
version_of(connection, product_code, 3)     what an application was made for, however old
published(connection, wanted)               what is on offer (`portal.products.search`), a page at a time
"""

from __future__ import annotations

import msgspec
from sqlalchemy import ColumnElement, Connection, select

from portal.errors import not_found
from portal.products.product import Product
from portal.products.tables import versions
from portal.states import OFFLINE, PUBLISHED


def get(connection: Connection, product_code: str) -> Product:
    """The version that enterprises see, or saw last. Raises PortalError NOT_FOUND if there never was one."""
    return _newest(connection, versions.c.product_code == product_code)


def version_of(connection: Connection, product_code: str, version: int) -> Product:
    """A version that enterprises see or saw. Raises PortalError NOT_FOUND."""
    return _newest(connection, (versions.c.product_code == product_code) & (versions.c.version == version))


def _newest(connection: Connection, which: ColumnElement[bool]) -> Product:
    seen = which & versions.c.state.in_((PUBLISHED, OFFLINE))
    wanted = select(versions.c.terms, versions.c.state).where(seen).order_by(versions.c.version.desc()).limit(1)
    row = connection.execute(wanted).first()
    if row is None:
        raise not_found()
    return msgspec.structs.replace(msgspec.json.decode(row.terms, type=Product), publish_state=row.state)
