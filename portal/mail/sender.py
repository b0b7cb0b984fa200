"""Handing mails over to the SMTP server that the settings name (RFC 5321; TLS by STARTTLS, RFC 3207, or from the start)."""

from __future__ import annotations

import asyncio
import logging
import smtplib
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

from sqlalchemy import Connection

from portal.mail import service
from portal.mail.outbox import CONFIRM, FAILED, SENT, Mail, done, take_due
from portal.mail.topics import TITLES, Topic
from portal.settings import Settings
from portal.state import Portal
from portal.text import Text
from portal.web.i18n import translate
from trust.keyfile import read_protected

log = logging.getLogger(__name__)

TIMEOUT_S: Final = 20


def password_of(settings: Settings) -> str:
    """The password for the mail server, empty if it needs none. Raises KeyFileError if others may read its file."""
    file = settings.mail_password_file
    return "" if file is None else read_protected(file).decode().strip()


async def send_due(portal: Portal) -> int:
    """Send what is due; how many were taken. Nothing happens without a server in the settings."""
    if not portal.settings.mail_host:
        return 0
    mails = await portal.db.write(lambda connection: take_due(connection, portal.clock()))
    for mail in mails:
        await _send(portal, mail)
    return len(mails)


async def _send(portal: Portal, mail: Mail) -> None:
    message = await portal.db.read(lambda connection: compose(portal, connection, mail))
    state = FAILED if message is None else await asyncio.to_thread(_hand_over, portal.settings, message)
    if state is not None:
        await portal.db.write(lambda connection: done(connection, mail.mail_id, state))


def compose(portal: Portal, connection: Connection, mail: Mail) -> EmailMessage | None:
    """The mail in its reader's language; None if the account wants none any more."""
    given = service.address_of(portal, connection, mail.account_id)
    if given is None or (not given.confirmed and mail.about != CONFIRM):
        return None

    def told(text: Text) -> str:
        return translate(given.language, text)

    url = f"{portal.settings.origin}/account"
    if mail.about == CONFIRM:
        link = f"{url}/mail/{service.code_of(portal, mail.account_id, given)}"
        subject = Text("Confirm your e-mail address")
        lines = [
            Text("Somebody gave this address for notices of an account. If it was you, open this link and log in:"),
            Text("{url}", url=link),
            Text("It holds for a day. If it was not you, do nothing: no further mail will come."),
        ]
    else:
        about = TITLES[Topic(mail.about)]
        subject = Text("Xinqiao: {about}", about=about)
        lines = [
            about,
            Text("Log in to read it: {url}", url=url),
            Text("You get this because your account asks for it. Switch it off under “Account”."),
        ]
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = portal.settings.mail_from, given.address, told(subject)
    message["Date"] = format_datetime(datetime.fromtimestamp(mail.made_ms / 1000, UTC))
    message["Message-ID"] = f"<{mail.mail_id}@{portal.settings.mail_from.rpartition('@')[2]}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content("\n\n".join(told(line) for line in lines) + "\n")
    return message


def _hand_over(settings: Settings, message: EmailMessage) -> str | None:
    """What became of it: sent, failed for good, or None: to be tried again."""
    try:
        with _connected(settings) as server:
            server.send_message(message)
    except smtplib.SMTPRecipientsRefused as error:
        final = all(code >= 500 for code, _ in error.recipients.values())
        log.warning("mail refused", extra={"final": final})
        return FAILED if final else None
    except (smtplib.SMTPException, OSError) as error:
        log.warning("mail server failed", extra={"failure": type(error).__qualname__})
        return None
    return SENT


def _connected(settings: Settings) -> smtplib.SMTP:
    secure = ssl.create_default_context()
    host, port = settings.mail_host, settings.mail_port
    if settings.mail_security == "tls":
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=secure)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
    try:
        if settings.mail_security == "starttls":
            server.starttls(context=secure)
        if settings.mail_user:
            server.login(settings.mail_user, password_of(settings))
    except BaseException:
        server.close()
        raise
    return server
