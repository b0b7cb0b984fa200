"""What is registered, asked by a node through hub and provider's node as real processes, as the portal asks it."""

from __future__ import annotations

from datetime import date

import pytest
from xinqiao.v1 import agent_pb2

from cli.demo.cohort import GOVERNMENT
from cli.demo.network import command
from cli.operator import hub_settings
from cli.portal_link import HubLinkByCall
from nodes.credentials import load_hub
from portal.errors import PortalError
from tests.e2e.conftest import Live

pytestmark = pytest.mark.timeout(180)
COLUMNS = (
    "uscc,ent_name,ent_type,legal_rep,registered_capital,currency,established,term_to,address,region,"
    "industry,scope,authority,status"
)
VALUES = (
    "北京样例科技有限公司,1100,张三丰,100,156,2019-05-01,,北京市海淀区,110108,I6510,软件开发,北京市市场监督管理局,存续"
)


def test_a_registration_is_read_through_an_exchange_and_a_code_without_one_is_told(live: Live) -> None:
    home, (known, unknown) = live.network.node_home("tax-1"), live.loans.codes[-2:]
    node, socket = live.network.node_home("bank-1"), hub_settings(live.network.hub_home).socket
    link = HubLinkByCall(load_hub(node), socket, node)
    with pytest.raises(PortalError) as nobody:
        link.registered(known)
    assert nobody.value.code == "NOT_FOUND"
    with pytest.raises(PortalError) as nodeless:
        HubLinkByCall(load_hub(node), socket).registered(known)
    assert nodeless.value.code == "WRONG_STATE"

    file = home.parent / "registrations.csv"
    file.write_text(f"{COLUMNS}\n{known},{VALUES}\n", encoding="utf-8")
    with (home / "sources.toml").open("a", encoding="utf-8") as sources:
        sources.write(
            f'\n[[source]]\nname = "registrations"\ntype = "csv"\nitem_id = "registration_basic"\npath = "{file}"\nsubject = "uscc"\n'
        )
    with (home / "products.toml").open("a", encoding="utf-8") as products:
        products.write(
            '\n[[product]]\nproduct_id = "registrations"\ntitle = "Registrations"\n'
            'items = [{ item_id = "registration_basic", modes = ["P"] }]\n'
        )
    with live.network.agent("tax-1") as agent:
        agent.call("LoadSources", agent_pb2.LoadSourcesRequest())
        agent.call("PublishOwnProducts", agent_pb2.PublishOwnProductsRequest())
    command("hub", "review-product", "registrations", "--home", str(live.network.hub_home), "--approve")

    found = link.registered(known)
    assert (found.provider, len(found.exchange_id)) == (GOVERNMENT, 36)
    assert found.facts is not None
    assert (found.facts.ent_name, found.facts.status) == ("北京样例科技有限公司", "存续")
    assert (found.facts.region, found.facts.founded) == ("110108", date(2019, 5, 1))
    assert link.registered(unknown).facts is None
