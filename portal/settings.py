"""Everything that an operator can set about a portal: `portal.toml` in its home.

Rules:
1. Only the command calls `load_settings`; everything else is handed the object.
2. A name that is not listed here, or a value out of range, stops the start.
3. Without TLS, of its own or of a proxy before it (`public_url` begins with https), the portal listens on this machine only.
"""

from __future__ import annotations

import ipaddress
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec

from hub.settings import SettingsInvalid

FILE_NAME: Final = "portal.toml"
_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How one portal runs. Durations in seconds, rates in calls per minute, sizes in bytes."""

    home: Path
    listen: str = "127.0.0.1:8080"
    # What browsers see; empty: http at `listen`. It decides about cookies, HSTS and which origin may send forms.
    public_url: str = ""
    certificate: Path | None = None
    private_key: Path | None = None
    # Addresses of proxies whose X-Forwarded-For is believed.
    trusted_proxies: tuple[str, ...] = ()
    # Empty: SQLite in the home. postgresql+psycopg://… for a server.
    database_url: str = ""
    # The hub's home on this machine: its operator socket, and what enterprises pin of it (`xinqiao hub info`).
    hub_home: Path | None = None
    hub_file: Path | None = None
    # A node of the platform's own, on this machine: its home, or its agent's socket. Registrations are checked by its exchanges.
    registration_node: Path | None = None
    log_level: str = "INFO"

    # Where notices are handed over as e-mail; empty: nowhere. `mail_security`: starttls, tls, or (on this machine only) none.
    mail_host: str = ""
    mail_port: _Positive = 587
    mail_security: Literal["starttls", "tls", "none"] = "starttls"
    mail_user: str = ""
    mail_password_file: Path | None = None
    mail_from: str = ""

    # How long a page that goes on by itself is served before the browser asks anew.
    live_s: Annotated[int, msgspec.Meta(ge=0, le=600)] = 300
    access_s: _Positive = 600
    refresh_s: _Positive = 12 * 3600
    invitation_s: _Positive = 72 * 3600
    calls_per_minute: _Positive = 600
    attempts_per_minute: _Positive = 20
    max_body: _Positive = 1 << 20

    @property
    def url(self) -> str:
        """The database's address."""
        return self.database_url or f"sqlite:///{self.home / 'portal.db'}"

    @property
    def origin(self) -> str:
        """Scheme, host and port that browsers see."""
        scheme = "http" if self.certificate is None else "https"
        return (self.public_url or f"{scheme}://{self.listen}").rstrip("/")

    @property
    def secure(self) -> bool:
        """Whether browsers come over TLS."""
        return self.origin.startswith("https://")


def load_settings(home: Path) -> Settings:
    """Read the settings of the portal that lives in `home`. Raises SettingsInvalid."""
    file = home / FILE_NAME
    try:
        values: dict[str, Any] = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as problem:
        raise SettingsInvalid(f"{file} cannot be read ({problem}). Make a portal: `xinqiao portal init`.") from problem
    try:
        settings = msgspec.convert(values | {"home": str(home)}, Settings, dec_hook=_path)
    except msgspec.ValidationError as problem:
        raise SettingsInvalid(f"The settings in {file} are wrong ({problem}). Correct them.") from problem
    check(settings)
    return settings


def check(settings: Settings) -> None:
    """Raise SettingsInvalid for an address that is none, half a TLS identity, or passwords that would travel in the clear."""
    host, _, port = settings.listen.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise SettingsInvalid(f"{settings.listen!r} is no address; write host:port, as 127.0.0.1:8080.")
    if (settings.certificate is None) != (settings.private_key is None):
        raise SettingsInvalid("TLS needs both `certificate` and `private_key`.")
    if not settings.secure and not _only_here(host.strip("[]")):
        raise SettingsInvalid(
            f"Passwords would travel in the clear at {settings.listen}. Listen on 127.0.0.1, give certificate and private_key, or "
            "set public_url to the https address of the proxy before it."
        )

    _check_mail(settings)


def _check_mail(settings: Settings) -> None:
    if not settings.mail_host:
        return
    if "@" not in settings.mail_from:
        raise SettingsInvalid("`mail_host` needs `mail_from`: the address that mails come from.")
    if settings.mail_security == "none" and not _only_here(settings.mail_host):
        raise SettingsInvalid(
            f"Mail to {settings.mail_host} would travel in the clear: set mail_security to starttls or tls."
        )
    if bool(settings.mail_user) != (settings.mail_password_file is not None):
        raise SettingsInvalid("`mail_user` and `mail_password_file` belong together.")


def _only_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _path(wanted: type, value: object) -> object:
    if wanted is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"{value!r} is not a path")
