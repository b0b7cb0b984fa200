"""Everything that an operator can set about a hub: `hub.toml` in its home, then XINQIAO_HUB_* variables.

Rules:
1. Only the command's `main` calls `load_settings`; everything else is handed the object.
2. A name that is not listed here, or a value out of range, stops the start: a typing error must not become a silent
   default.
3. The environment wins over the file, so that a container needs no file. XINQIAO_HUB_PUBLIC_ADDRESS sets
   public_address, and so on.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

ENVIRONMENT_PREFIX: Final = "XINQIAO_HUB_"
FILE_NAME: Final = "hub.toml"
# sockaddr_un holds 108 bytes on Linux and 104 elsewhere, the closing zero included.
MAX_SOCKET_PATH: Final = 103

_Address = Annotated[str, msgspec.Meta(pattern=r"^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9._-]+):[0-9]{1,5}$")]
_Positive = Annotated[int, msgspec.Meta(ge=1)]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class SettingsInvalid(Exception):
    """The settings cannot be used; the message names the setting and what to do."""

    code = "SETTINGS_INVALID"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one hub process runs. Sizes in bytes, durations in seconds, rates in calls per second."""

    home: Path
    # What others are told (and the certificate names): host:port. The listen addresses differ behind a proxy or NAT.
    public_address: _Address = "127.0.0.1:7443"
    node_address: _Address = "127.0.0.1:7444"
    public_listen: str = ""
    node_listen: str = ""
    # Empty: SQLite in the home. postgresql+psycopg://… for a server; the other processes on it see every commit at once.
    database_url: str = ""
    admin_socket: Path | None = None
    metrics_address: str | None = None
    log_level: str = "INFO"

    checkpoint_interval_s: _Seconds = 2.0
    invitation_lifetime_s: _Seconds = 3600.0
    certificate_lifetime_days: Annotated[int, msgspec.Meta(ge=1, le=365)] = 30
    clock_skew_s: _Seconds = 60.0

    max_frame_bytes: _Positive = 4 * 1024 * 1024
    relay_queue_frames: _Positive = 8
    # A file that receives every relayed byte, so that a demonstration or test can look for plaintext in it.
    relay_capture: Path | None = None
    unary_deadline_s: _Seconds = 30.0
    exchange_idle_s: _Seconds = 900.0
    member_calls_per_s: _Seconds = 5000.0
    public_calls_per_s: _Seconds = 200.0

    @property
    def url(self) -> str:
        """The database's address."""
        return self.database_url or f"sqlite:///{self.home / 'hub.db'}"

    @property
    def keys(self) -> Path:
        """The folder of the hub's keys."""
        return self.home / "keys"

    @property
    def socket(self) -> Path:
        """The operator's socket."""
        return self.admin_socket or self.home / "admin.sock"

    @property
    def max_message_bytes(self) -> int:
        """The largest gRPC message: a frame and its envelope."""
        return self.max_frame_bytes + 64 * 1024


def load_settings(home: Path, environment: Mapping[str, str]) -> Settings:
    """Read the settings of the hub that lives in `home`. Raises SettingsInvalid."""
    file = home / FILE_NAME
    values: dict[str, Any] = {}
    if file.exists():
        try:
            values.update(tomllib.loads(file.read_text(encoding="utf-8")))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as problem:
            raise SettingsInvalid(f"{file} cannot be read ({problem}); correct it or remove it") from problem
    for name, value in environment.items():
        key = name.removeprefix(ENVIRONMENT_PREFIX).lower()
        if name.startswith(ENVIRONMENT_PREFIX) and key in Settings.__struct_fields__:
            values[key] = value
    values["home"] = str(home)
    try:
        settings = msgspec.convert(values, Settings, strict=False, dec_hook=_path)
    except msgspec.ValidationError as problem:
        raise SettingsInvalid(
            f"the settings in {file} or XINQIAO_HUB_* are wrong ({problem}); correct them"
        ) from problem
    if len(str(settings.socket)) > MAX_SOCKET_PATH:
        raise SettingsInvalid(
            f"the path of the operator's socket is longer than the {MAX_SOCKET_PATH} bytes that the system allows; "
            "set admin_socket to a shorter one"
        )
    return settings


def _path(wanted: type, value: object) -> object:
    if wanted is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"{value!r} is not a path")
