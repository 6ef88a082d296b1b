"""Mail: one text, whose headers nothing that a job wrote can break, by a server of the alias."""

import smtplib
import socket
import ssl
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from contract.deadline import Deadline
from contract.outcall import trust
from spine.notices import message
from spine.notices.aliases import Email
from spine.notices.channels.calling import Failed
from spine.notices.message import Outgoing

_PORTS = {"starttls": 587, "tls": 465, "none": 25}


def pieces(notice: Outgoing) -> list[str]:
    """Return the whole text."""
    return [message.for_people(notice)]


def send(alias: Email, notice: Outgoing, piece: str, number: int, seconds: float) -> None:
    """Hand the mail to the server. Its Message-ID is the notice's, so that a repeat is known.

    Raises:
        Failed: for good when the server takes none of the recipients and never will.
    """
    deadline = Deadline(seconds)
    port = alias.port or _PORTS[alias.security]
    try:
        mail = compose(alias, notice, piece)
        plain = deadline.connect(alias.host, port)
        try:
            with deadline.guard(plain):
                _converse(alias, plain, mail)
        finally:
            plain.close()
    except TimeoutError as e:
        raise Failed(f"no end within {seconds:g} s") from e
    except smtplib.SMTPRecipientsRefused as e:
        codes = sorted({code for code, _ in e.recipients.values()})
        raise Failed(f"the server takes none of the recipients ({codes})", gone=all(c >= 500 for c in codes)) from e
    except smtplib.SMTPResponseException as e:
        raise Failed(f"the server answered {e.smtp_code}") from e
    except ssl.SSLCertVerificationError as e:
        raise Failed(f"its certificate is not trusted: {e.verify_message}") from e
    except (OSError, smtplib.SMTPException) as e:
        raise Failed(f"no conversation: {getattr(e, 'strerror', None) or type(e).__name__}") from e


def compose(alias: Email, notice: Outgoing, text: str) -> EmailMessage:
    """Return the mail; its subject is one line, whatever the title holds."""
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["To"] = alias.sender, ", ".join(alias.to)
    mail["Subject"] = message.one_line(notice.said.title)
    mail["Date"] = format_datetime(datetime.fromtimestamp(notice.said.at / 1000, UTC))
    mail["Message-ID"] = f"<{notice.id}@{alias.sender.rpartition('@')[2]}>"
    mail["X-Spine-Notice"] = notice.id
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text, charset="utf-8", cte="base64")
    return mail


class _Conversation(smtplib.SMTP):
    """smtplib on a connection that stands already, so that its total time can be watched."""

    def __init__(self, host: str, connection: socket.socket) -> None:
        self._given = connection
        # Named, lest a name server that hangs is asked for it.
        super().__init__(host, 0, local_hostname=socket.gethostname())

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return self._given


def _converse(alias: Email, plain: socket.socket, mail: EmailMessage) -> None:
    secured: socket.socket = plain
    if alias.security == "tls":
        secured = trust().wrap_socket(plain, server_hostname=alias.host)
    server = _Conversation(alias.host, secured)
    try:
        if alias.security == "starttls":
            server.starttls(context=trust())
        if alias.username is not None and alias.password is not None:
            server.login(alias.username, alias.password)
        server.send_message(mail, alias.sender, alias.to)
    finally:
        server.close()
