from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from xinqiao.v1 import public_pb2

from cli.export_files import ExportWriter, read_export
from consent.audit import AuditFailed
from consent.usage import make_batch
from nodes.credentials import HubFacts
from tests.cli.conftest import AdminWorld, SubjectWorld
from tests.cli.running import failing, run, run_json
from tests.cli.simulators import BANK_NODE, PROVIDER_NODE
from tests.consent.builders import NOW, USCC, key
from tests.consent.usage_builders import PARTS, TREE, batch, receipt, usage_leaves


def use(index: int) -> public_pb2.ProvenUse:
    leaf = usage_leaves()[index]
    if index != 8:
        return public_pb2.ProvenUse(log_index=index, signed_receipt=leaf, twin_present=True)
    return public_pb2.ProvenUse(
        log_index=8, signed_receipt=leaf, subject_use=PARTS[1], subject_index=1, subject_path=TREE.path(1)
    )


@pytest.fixture
def used(subject: SubjectWorld) -> SubjectWorld:
    subject.hub.logs["usage"] = list(usage_leaves())
    subject.hub.uses = [use(index) for index in (0, 4, 5, 8)]
    subject.hub.witness = PROVIDER_NODE
    return subject


def test_an_enterprise_sees_every_use_with_its_seven_fields_verified(used: SubjectWorld) -> None:
    told = run_json("audit", "mine", "--home", used.home).data
    assert (told["verified"], told["log_size"], told["witnesses"]) == (True, 10, [PROVIDER_NODE])
    first, refused, raw = told["uses"][0], told["uses"][2], told["uses"][3]
    assert {
        name: first[name] for name in ("user", "institution", "time_ms", "reason", "content", "object", "purpose")
    } == {
        "user": "li",
        "institution": "firstbank",
        "time_ms": NOW,
        "reason": "loan application 7",
        "content": {"items": ["tax_registration"], "fields": []},
        "object": USCC,
        "purpose": "pre_loan",
    }
    assert refused["decision"] == "NO_CONSENT"
    assert (raw["in_batch"], raw["record_count"], raw["mode"]) == (True, 3, "raw")
    assert "Verified 4 records" in run("audit", "mine", "--home", used.home).out


def test_an_enterprise_without_uses_is_told_so(subject: SubjectWorld) -> None:
    assert "No use" in run("audit", "mine", "--home", subject.home).out


def test_many_uses_come_in_pages(used: SubjectWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    from cli.enterprise_client import EnterpriseClient

    whole = EnterpriseClient.audit
    monkeypatch.setattr(EnterpriseClient, "audit", lambda self: whole(self, page_size=2))
    assert [each["log_index"] for each in run_json("audit", "mine", "--home", used.home).data["uses"]] == [0, 4, 5, 8]


def test_an_export_of_my_data_is_checked_by_anybody_and_by_nothing_that_was_changed(
    used: SubjectWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from cli.enterprise_client import EnterpriseClient

    whole, out, hub = EnterpriseClient.audit, tmp_path / "mine.json", used.home / "hub.json"
    monkeypatch.setattr(EnterpriseClient, "audit", lambda self: whole(self, page_size=2))
    run("audit", "mine", "--home", used.home, "--out", out)
    told = run_json("audit", "my-data", out, "--hub", hub).data
    assert (told["uscc"], told["uses"], told["log_size"], told["witnesses"]) == (USCC, 4, 10, [PROVIDER_NODE])
    assert "signed this by" in run("audit", "my-data", out, "--hub", hub).out
    assert failing("audit", "mine", "--home", used.home, "--out", out, code=5)["code"] == "ALREADY_EXISTS"
    out.write_bytes(out.read_bytes().replace(b'"user": "li"', b'"user": "wu"', 1))
    assert failing("audit", "my-data", out, "--hub", hub, code=6)["code"] == "AUDIT_FAILED"
    assert failing("audit", "my-data", tmp_path / "none", "--hub", hub, code=2)["code"] == "INVALID_ARGUMENT"


def grow(used: SubjectWorld) -> None:
    used.hub.logs["usage"] += batch(receipt(20), BANK_NODE)


def test_the_log_may_grow_between_audits(used: SubjectWorld) -> None:
    run("audit", "mine", "--home", used.home)
    grow(used)
    assert run_json("audit", "mine", "--home", used.home).data["log_size"] == 11


def hide_an_entry(used: SubjectWorld) -> None:
    del used.hub.logs["usage"][5]
    used.hub.uses = used.hub.uses[:2]
    grow(used)
    grow(used)


def cut_the_log(used: SubjectWorld) -> None:
    used.hub.logs["usage"] = used.hub.logs["usage"][:5]
    used.hub.uses = used.hub.uses[:2]


def leave_one_out(used: SubjectWorld) -> None:
    del used.hub.uses[1]


def list_nothing(used: SubjectWorld) -> None:
    used.hub.uses = []


def alter_one(used: SubjectWorld) -> None:
    used.hub.uses[0].signed_receipt = used.hub.uses[0].signed_receipt.replace(b"a", b"b", 1)


def show_anothers(used: SubjectWorld) -> None:
    used.hub.uses[3].subject_use = PARTS[0]
    used.hub.uses[3].subject_index = 0
    del used.hub.uses[3].subject_path[:]
    used.hub.uses[3].subject_path.extend(TREE.path(0))


LIES = [hide_an_entry, cut_the_log, leave_one_out, list_nothing, alter_one, show_anothers]


@pytest.mark.parametrize("lie", LIES)
def test_a_hub_that_contradicts_what_it_showed_is_caught(used: SubjectWorld, lie: Any) -> None:
    run("audit", "mine", "--home", used.home)
    seen = (used.home / "seen.json").read_bytes()
    lie(used)
    assert failing("audit", "mine", "--home", used.home, code=6)["code"] == "AUDIT_FAILED"
    assert (used.home / "seen.json").read_bytes() == seen


def test_pages_that_never_end_are_a_lie(used: SubjectWorld) -> None:
    def more(reply: Any) -> Any:
        reply.more = True
        return reply

    used.service.bend["ListUses"] = more
    assert failing("audit", "mine", "--home", used.home, code=6)["code"] == "LOG_INCONSISTENT"


def test_a_damaged_memory_is_not_taken_for_an_empty_one(used: SubjectWorld) -> None:
    run("audit", "mine", "--home", used.home)
    (used.home / "seen.json").write_bytes(b"{")
    assert failing("audit", "mine", "--home", used.home, code=7)["code"] == "CONFIGURATION"


# -- exports


@pytest.fixture
def exported(admin: AdminWorld, tmp_path: Path) -> tuple[Path, Path]:
    """An exported usage log, and the file that pins the (simulated) hub."""
    admin.hub.logs["usage"] = list(usage_leaves())
    admin.hub.witness = PROVIDER_NODE
    told = run_json("audit", "export", "--home", admin.home, "--out", tmp_path / "x").data
    assert (told["size"], told["signatures"]) == (10, 2)
    facts = HubFacts(public_address="a:1", node_address="a:2", authority_pem=b"-", hub_key=key("hub").public)
    (tmp_path / "hub.json").write_bytes(facts.encode())
    return tmp_path / "x", tmp_path / "hub.json"


def test_an_export_is_verified_offline(exported: tuple[Path, Path]) -> None:
    folder, hub = exported
    told = run_json("audit", "verify", folder, "--hub", hub).data
    assert (told["verified"], told["receipts"], told["refusals"], told["deletions"]) == (True, 9, 1, 1)
    assert (told["witnesses"], told["key_pinned"]) == ([PROVIDER_NODE], True)
    assert "is what it claims to be" in run("audit", "verify", folder, "--hub", hub).out
    assert run_json("audit", "verify", folder / "directory", "--hub", hub).data["origin"] == "directory"


def test_without_a_pinned_key_the_exports_own_is_taken_and_said(exported: tuple[Path, Path]) -> None:
    folder, hub = exported
    # The export holds the key of the made hub; the simulator signs with its own.
    failing("audit", "verify", folder, code=6)
    shutil.copy(hub, folder / "hub.json")
    assert run_json("audit", "verify", folder).data["key_pinned"] is False
    assert "compare it" in run("audit", "verify", folder).out


def rewritten(folder: Path, leaves: list[bytes], *, hashes: bool = False) -> None:
    """Put other entries into an export; the list of hashes stays as it was unless it is redone."""
    copy = folder.parent / "redone"
    shutil.rmtree(copy, ignore_errors=True)
    ExportWriter(copy, "usage").write([*leaves, read_export(folder).checkpoint])
    shutil.copy(copy / "leaves.bin", folder / "leaves.bin")
    if hashes:
        shutil.copy(copy / "hashes.bin", folder / "hashes.bin")


L = list(usage_leaves())
TAMPERED = {
    "altered": ([*L[:3], L[3].replace(b"A", b"B", 1), *L[4:]], 3),
    "truncated": (L[:7], 7),
    "re-ordered": ([L[0], L[2], L[1], *L[3:]], 1),
    "one left out": ([*L[:5], *L[6:]], 5),
    "one put in": ([*L[:4], L[0], *L[4:]], 4),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_a_tampered_export_is_refused_and_the_entry_named(exported: tuple[Path, Path], name: str) -> None:
    folder, hub = exported
    leaves, place = TAMPERED[name]
    rewritten(folder, leaves)
    error = failing("audit", "verify", folder, "--hub", hub, code=6)
    assert error["code"] == "AUDIT_FAILED"
    assert f"log usage, entry {place}: " in error["message"]
    rewritten(folder, leaves, hashes=True)
    failing("audit", "verify", folder, "--hub", hub, code=6)


@pytest.mark.parametrize("at", [0, 1, 300, 3000, -1, -2])
def test_any_changed_byte_of_the_entries_is_detected(exported: tuple[Path, Path], at: int) -> None:
    folder, hub = exported
    content = bytearray((folder / "leaves.bin").read_bytes())
    content[at] ^= 1
    (folder / "leaves.bin").write_bytes(content)
    failing("audit", "verify", folder, "--hub", hub, code=6)


def test_a_file_that_ends_inside_an_entry_names_it(exported: tuple[Path, Path]) -> None:
    folder, _ = exported
    content = (folder / "leaves.bin").read_bytes()
    (folder / "leaves.bin").write_bytes(content[:-5])
    with pytest.raises(AuditFailed) as found:
        list(read_export(folder).leaves)
    assert found.value.index == 9


def test_a_fork_is_caught_by_another_export(exported: tuple[Path, Path], admin: AdminWorld, tmp_path: Path) -> None:
    folder, hub = exported
    again = make_batch([receipt(30)], key(BANK_NODE), node_id=BANK_NODE, time_ms=NOW)[0].encode()
    admin.hub.logs["usage"] = [*L[:5], *L[6:], again, again.replace(b"x", b"x")][:10]
    run("audit", "export", "--home", admin.home, "--out", tmp_path / "y")
    run("audit", "verify", tmp_path / "y", "--hub", hub)
    error = failing("audit", "verify", tmp_path / "y", "--hub", hub, "--seen", folder, code=6)
    assert "forked or rewritten" in error["message"]
    assert (
        run_json("audit", "verify", folder, "--hub", hub, "--seen", folder / "checkpoint.json").data["heads_seen"] == 1
    )


def test_what_an_enterprise_saw_is_compared_with(exported: tuple[Path, Path], used: SubjectWorld) -> None:
    folder, hub = exported
    run("audit", "mine", "--home", used.home)
    told = run_json("audit", "verify", folder, "--hub", hub, "--seen", used.home / "seen.json").data
    assert told["heads_seen"] == 1


def test_an_export_overwrites_nothing_and_must_be_whole(admin: AdminWorld, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "something").touch()
    failing("audit", "export", "--home", admin.home, "--out", tmp_path / "x", code=5)
    admin.admin.cut_export = True
    failing("audit", "export", "--home", admin.home, "--out", tmp_path / "y", code=4)


def test_a_folder_that_is_no_export_and_a_file_that_is_no_head_are_refused(
    exported: tuple[Path, Path], tmp_path: Path
) -> None:
    folder, hub = exported
    failing("audit", "verify", tmp_path / "nothing", "--hub", hub, code=2)
    failing("audit", "verify", folder, "--hub", hub, "--seen", tmp_path / "nothing", code=2)
    failing("audit", "verify", folder, "--hub", hub, "--seen", folder / "directory", code=2)
