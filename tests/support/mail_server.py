"""A mail server on a loopback socket: the conversation of SMTP as far as a sender needs it, and a ledger of mails."""

import base64
import socket
import ssl
import threading
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, NamedTuple

from tests.support.eventually import eventually


class Mail(NamedTuple):
    """One mail as it was handed over: with the envelope, the login and whether TLS was on."""

    sender: str
    to: list[str]
    message: EmailMessage
    login: str | None
    secret: bool


class MailServer:
    """Takes mails.

    Args:
        context: for STARTTLS, or with `tls` from the first byte.
        refuse: recipients and the answer that each gets, such as `"550 no such user"`.
        silent: it takes connections and says nothing.
    """

    def __init__(
        self,
        context: ssl.SSLContext | None = None,
        tls: bool = False,
        refuse: dict[str, str] | None = None,
        silent: bool = False,
    ) -> None:
        self.ledger: list[Mail] = []
        self._context, self._tls, self._refuse, self._silent = context, tls, refuse or {}, silent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def mails(self, count: int) -> list[Mail]:
        eventually(lambda: len(self.ledger) >= count, what=f"{count} mails")
        return list(self.ledger)

    def close(self) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while not self._closing.is_set():
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._converse, args=(peer,), daemon=True).start()

    def _converse(self, peer: socket.socket) -> None:
        try:
            if self._silent:
                self._closing.wait(60)
                return
            if self._tls and self._context is not None:
                peer = self._context.wrap_socket(peer, server_side=True)
            self._talk(peer, self._tls)
        except (OSError, ValueError):
            pass  # whoever called has gone
        finally:
            peer.close()

    def _talk(self, peer: socket.socket, secret: bool, greets: bool = True) -> None:
        lines = peer.makefile("rb")
        login: str | None = None
        envelope: dict[str, Any] = {"to": []}

        def say(text: str) -> None:
            peer.sendall(text.encode() + b"\r\n")

        if greets:
            say("220 tests")
        while line := lines.readline():
            word, _, rest = line.decode().strip().partition(" ")
            if word.upper() == "EHLO":
                more = "250-STARTTLS\r\n" if self._context is not None and not secret else ""
                say(f"250-tests\r\n{more}250-AUTH PLAIN\r\n250 8BITMIME")
            elif word.upper() == "STARTTLS" and self._context is not None:
                say("220 go on")
                with self._context.wrap_socket(peer, server_side=True) as hidden:
                    self._talk(hidden, secret=True, greets=False)
                return
            elif word.upper() == "AUTH":
                login = base64.b64decode(rest.partition(" ")[2]).decode().replace("\0", ":")
                say("235 welcome")
            elif word.upper() == "MAIL":
                envelope = {"from": rest.partition(":")[2].split()[0].strip("<>"), "to": []}
                say("250 well")
            elif word.upper() == "RCPT":
                to = rest.partition(":")[2].strip("<>")
                refused = self._refuse.get(to)
                if refused is None:
                    envelope["to"].append(to)
                say(refused or "250 well")
            elif word.upper() == "DATA":
                say("354 go on")
                data = b""
                while (part := lines.readline()) not in (b".\r\n", b""):
                    data += part.removeprefix(b".")
                found = message_from_bytes(data, policy=policy.default)
                assert isinstance(found, EmailMessage)
                self.ledger.append(Mail(envelope["from"], envelope["to"], found, login, secret))
                say("250 taken")
            else:
                say("250 well")
