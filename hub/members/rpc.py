"""The Enrolment service of public.proto, and the renewal of certificates for the Control service of node.proto."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from xinqiao.v1 import node_pb2, public_pb2, public_pb2_grpc

from hub.auth import caller
from hub.interceptors import Context
from hub.members import service
from hub.state import Hub
from trust.document import SignedDocument


def software_version() -> str:
    """The version of the installed distribution."""
    try:
        return version("xinqiao")
    except PackageNotFoundError:
        return "0+unknown"


def hub_info(hub: Hub) -> public_pb2.HubInfo:
    """What a node or an enterprise pins."""
    return public_pb2.HubInfo(
        public_address=hub.settings.public_address,
        node_address=hub.settings.node_address,
        authority_pem=hub.keys.authority_cert,
        hub_key=hub.keys.public.encode(),
        time_ms=hub.clock(),
        version=software_version(),
    )


class EnrolmentServicer(public_pb2_grpc.EnrolmentServicer):
    """Decode, call, encode."""

    def __init__(self, hub: Hub) -> None:
        """Enrol nodes into this hub."""
        self._hub = hub

    async def GetHubInfo(self, request: public_pb2.GetHubInfoRequest, context: Context) -> public_pb2.HubInfo:
        """The hub's public facts."""
        return hub_info(self._hub)

    async def Enrol(self, request: public_pb2.EnrolRequest, context: Context) -> public_pb2.EnrolReply:
        """Enrol a node by its token."""
        document = SignedDocument.decode(request.node_enrolled)
        enrolled = await self._hub.db.write(
            lambda connection: service.enrol(
                self._hub,
                connection,
                secret=request.token_secret,
                csr_pem=request.csr_pem,
                document=document,
                time_ms=request.time_ms,
            )
        )
        return public_pb2.EnrolReply(
            certificate_pem=enrolled.certificate_pem,
            hub=hub_info(self._hub),
            member_id=enrolled.member_id,
            directory_index=enrolled.directory_index,
        )


async def renew_certificate(hub: Hub, request: node_pb2.RenewCertificateRequest) -> node_pb2.RenewCertificateReply:
    """Control.RenewCertificate for the calling node."""
    node_id = caller().node_id
    pem = await hub.db.write(lambda connection: service.renew(hub, connection, node_id, request.csr_pem))
    return node_pb2.RenewCertificateReply(certificate_pem=pem)
