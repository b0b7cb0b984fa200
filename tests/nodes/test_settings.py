"""The node's settings: what is misspelt is an error, and the environment wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodes.errors import SettingsInvalid
from nodes.settings import UNIX_PATH_LIMIT, load_settings

MINIMAL = 'node_id = "tax-1"\nmember_id = "tax"\n'


def home_with(tmp_path: Path, text: str) -> Path:
    (tmp_path / "node.toml").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_minimal_file_has_safe_defaults(tmp_path: Path) -> None:
    settings = load_settings(home_with(tmp_path, MINIMAL), {})
    assert (settings.node_id, settings.member_id, settings.max_staleness_ms) == ("tax-1", "tax", 60_000)
    assert settings.database == tmp_path / "node.db"


def test_the_environment_wins_for_simple_values(tmp_path: Path) -> None:
    environment = {"XINQIAO_NODE_MAX_STALENESS_S": "5", "XINQIAO_NODE_LOG_LEVEL": "DEBUG", "PATH": "/bin"}
    settings = load_settings(home_with(tmp_path, MINIMAL + "max_staleness_s = 30\n"), environment)
    assert (settings.max_staleness_s, settings.log_level) == (5, "DEBUG")


def test_approval_rules_are_read(tmp_path: Path) -> None:
    text = MINIMAL + '[[approval]]\nmode = "raw"\nrequester = "bank-*"\n'
    (rule,) = load_settings(home_with(tmp_path, text), {}).approval
    assert (rule.product, rule.mode, rule.requester) == ("*", "raw", "bank-*")


PSI = '[[psi]]\nmember = "bank"\nproduct = "basics"\nmode = "size"\nlegal_basis = "PIPL art. 13"\n'


def test_nobody_compares_sets_but_by_a_rule(tmp_path: Path) -> None:
    assert load_settings(home_with(tmp_path, MINIMAL), {}).psi == ()
    (rule,) = load_settings(home_with(tmp_path, MINIMAL + PSI), {"XINQIAO_NODE_PSI": "anybody"}).psi
    assert (rule.member, rule.mode, rule.minimum, rule.per_day) == ("bank", "size", 100, 1)


def test_models_are_approved_by_hand_but_for_what_a_rule_names(tmp_path: Path) -> None:
    assert load_settings(home_with(tmp_path, MINIMAL), {"XINQIAO_NODE_MODEL_APPROVAL": "all"}).model_approval == ()
    text = MINIMAL + '[[model_approval]]\nowner = "bank"\nkind = "linear"\nmaximum_leverage = 0.5\n'
    (rule,) = load_settings(home_with(tmp_path, text), {}).model_approval
    assert (rule.owner, rule.product, rule.kind, rule.maximum_leverage, rule.minimum_nonzero) == (
        "bank",
        "*",
        "linear",
        0.5,
        5,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        MINIMAL + "[[model_approval]]\n",
        MINIMAL + '[[model_approval]]\nowner = "bank"\nmaximum_leverage = 1.5\n',
        MINIMAL + '[[model_approval]]\nowner = "bank"\nminimum_nonzero = 1\n',
        MINIMAL + PSI.replace("size", "all"),
        MINIMAL + PSI.replace("PIPL art. 13", "  "),
        MINIMAL + PSI.replace('member = "bank"\n', ""),
        MINIMAL + PSI + "minimum = 19\n",
        MINIMAL + PSI + "per_day = 0\n",
        "node_id = ",
        MINIMAL + "max_stalenes_s = 5\n",  # a misspelt limit must not become the default
        MINIMAL + "max_staleness_s = 0\n",
        MINIMAL + "max_staleness_s = 100000\n",
        MINIMAL + 'max_staleness_s = "soon"\n',
        MINIMAL + 'log_level = "LOUD"\n',
        MINIMAL + 'joint_executor = "ray"\n',
        MINIMAL + 'joint_executor = "ray://10.0.0.5"\n',
        MINIMAL + 'joint_executor = "http://10.0.0.5:10001"\n',
        MINIMAL.replace("tax-1", "Tax 1"),
        MINIMAL + '[[approval]]\nmod = "raw"\n',
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(SettingsInvalid):
        load_settings(home_with(tmp_path, text), {})


@pytest.mark.parametrize(
    "name", ["", "processes", "ray://10.0.0.5:10001", "ray://[fd00::5]:10001", "ray://head.bank:1"]
)
def test_an_executor_is_nothing_processes_or_a_cluster_s_address(tmp_path: Path, name: str) -> None:
    assert load_settings(home_with(tmp_path, MINIMAL), {"XINQIAO_NODE_JOINT_EXECUTOR": name}).joint_executor == name


def test_a_bad_environment_variable_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid):
        load_settings(home_with(tmp_path, MINIMAL), {"XINQIAO_NODE_MAX_STALENESS_S": "long"})


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="enrol"):
        load_settings(tmp_path, {})


def test_the_agent_socket_always_fits_into_an_address(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    settings = load_settings(home_with(deep, MINIMAL), {})
    assert len(bytes(settings.agent_socket)) <= UNIX_PATH_LIMIT
    assert load_settings(home_with(deep, MINIMAL), {}).agent_socket == settings.agent_socket
