"""Registration calls of the Subjects service of public.proto; the server joins those on consents and uses to them."""

from __future__ import annotations

from xinqiao.v1 import public_pb2

from hub.errors import HubError
from hub.interceptors import Context
from hub.state import Hub
from hub.subjects import service
from trust.document import SignedDocument


class RegistrationCalls:
    """Decode, call, encode. A base of the whole Subjects servicer."""

    def __init__(self, hub: Hub) -> None:
        """Serve this hub's registrations."""
        self._hub = hub

    async def Register(self, request: public_pb2.RegisterRequest, context: Context) -> public_pb2.RegisterReply:
        """Leave a registration for an operator to approve."""
        document = SignedDocument.decode(request.registration)
        return _reply(await self._hub.db.write(lambda connection: service.register(self._hub, connection, document)))

    async def GetRegistration(
        self, request: public_pb2.GetRegistrationRequest, context: Context
    ) -> public_pb2.RegisterReply:
        """Where a registration stands."""
        if not request.uscc:
            raise HubError("INVALID_ARGUMENT", "the unified social credit code is missing; name the enterprise")
        return _reply(await self._hub.db.read(lambda connection: service.registration(connection, request.uscc)))


def _reply(found: service.Registration) -> public_pb2.RegisterReply:
    return public_pb2.RegisterReply(
        state=found.state, reason=found.reason, directory_index=found.directory_index or 0, key_id=found.key_id
    )
