from __future__ import annotations

from pathlib import Path

import pytest

from hub.settings import SettingsInvalid, load_settings


def test_the_environment_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "hub.toml").write_text('public_address = "hub.example:1"\ncheckpoint_interval_s = 5\n')
    found = load_settings(tmp_path, {"XINQIAO_HUB_PUBLIC_ADDRESS": "10.0.0.1:2", "XINQIAO_HUB_HOME": "/elsewhere"})
    assert (found.public_address, found.checkpoint_interval_s, found.home) == ("10.0.0.1:2", 5.0, tmp_path)
    assert found.url == f"sqlite:///{tmp_path}/hub.db"


def test_numbers_and_paths_come_from_the_environment_too(tmp_path: Path) -> None:
    found = load_settings(tmp_path, {"XINQIAO_HUB_RELAY_CAPTURE": "/a/b", "XINQIAO_HUB_RELAY_QUEUE_FRAMES": "3"})
    assert (found.relay_capture, found.relay_queue_frames) == (Path("/a/b"), 3)


@pytest.mark.parametrize(
    "content",
    [
        'pubic_address = "a:1"',
        'public_address = "no port"',
        "relay_queue_frames = 0",
        "checkpoint_interval_s = -1",
        'checkpoint_interval_s = "soon"',
        "this is no toml",
        f'admin_socket = "/{"x" * 120}"',
    ],
)
def test_a_typing_error_stops_the_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "hub.toml").write_text(content)
    with pytest.raises(SettingsInvalid, match=r"hub\.toml|shorter"):
        load_settings(tmp_path, {})
