"""Rules of the project as a whole: who may import whom, what stays out of the product, and that generated files are current."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-ray.lock")
PACKAGES = ("trust", "consent", "modeling", "nodes", "hub", "cli")


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_import_rules_hold() -> None:
    done = python("-c", "from importlinter.cli import lint_imports_command; lint_imports_command()")
    assert done.returncode == 0, done.stdout + done.stderr


def test_unsafe_and_copyleft_libraries_are_not_loaded_by_the_product() -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if path.name not in {"__init__.py", "__main__.py", "env.py"} and "versions" not in path.parts
    ]
    code = (
        f"import importlib, sys\nfor name in {modules!r}: importlib.import_module(name)\n"
        "print(sorted({'gmssl', 'phe'} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_the_generated_wire_modules_are_those_of_the_proto_files(tmp_path: Path) -> None:
    sources = [str(path.relative_to(ROOT)) for path in sorted((ROOT / "proto/xinqiao/v1").glob("*.proto"))]
    done = python(
        "-m",
        "grpc_tools.protoc",
        "-Iproto",
        f"--python_out={tmp_path}",
        f"--grpc_python_out={tmp_path}",
        *sources,
    )
    assert done.returncode == 0, done.stderr
    made = sorted((tmp_path / "xinqiao/v1").glob("*.py"))
    assert len(made) == 2 * len(sources)
    for path in made:
        kept = ROOT / "proto/gen/xinqiao/v1" / path.name
        assert kept.read_text() == path.read_text(), f"{kept.name} is out of date: run `make proto`"


@pytest.mark.parametrize("path", sorted((ROOT / "proto/xinqiao/v1").glob("*.proto")), ids=lambda path: path.name)
def test_every_call_and_error_says_what_it_is(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        if line.strip().startswith(("service ", "enum ")):
            assert lines[number - 1].strip().startswith("//"), f"{path.name}:{number + 1} has no comment"


def test_lock_files_hold_versions_and_hashes_and_no_addresses() -> None:
    for name in LOCKS:
        text = (ROOT / name).read_text(encoding="utf-8")
        pins = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
        assert pins
        assert all("==" in pin and pin.endswith("\\") for pin in pins), name
        assert "://" not in text, name
        assert "--index-url" not in text, name


def test_lock_files_name_one_version_of_each_package() -> None:
    found: dict[str, set[str]] = {}
    for name in LOCKS:
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
            if line and not line.startswith((" ", "#")):
                package, version = line.rstrip(" \\").split("==")
                found.setdefault(package, set()).add(version)
    assert not {package: versions for package, versions in found.items() if len(versions) > 1}


def test_files_stay_readable() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {count}"
        for package in (*PACKAGES, "bench")
        for path in (ROOT / package).rglob("*.py")
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 420
    ]
    assert not long, "split these: " + ", ".join(long)


def test_the_packages_are_installed_from_this_checkout() -> None:
    for package in PACKAGES:
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        assert Path(spec.origin).is_relative_to(ROOT), f"{package} comes from elsewhere"
