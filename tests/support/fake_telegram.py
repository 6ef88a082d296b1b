"""A Telegram Bot API on a socket, as far as an OpenClaw gateway asks it: updates go in, what is sent comes out."""

import json
import queue
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.eventually import eventually

BOT = {"id": 111, "is_bot": True, "first_name": "Fleet", "username": "fleet_test_bot", "can_join_groups": True}
TOKEN = "111:a-bot-of-the-tests"
_POLL_SECONDS = 2.0


class FakeTelegram:
    """`sent` is what the bot said, in order, as the arguments of sendMessage."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self._updates: queue.Queue[dict[str, Any]] = queue.Queue()
        self._lock, self._number = Lock(), 0
        telegram = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.do_POST()

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                where = urlsplit(self.path)
                args = json.loads(body) if body else dict(parse_qsl(where.query))
                result = telegram._call(where.path.rpartition("/")[2], args)
                found = json.dumps({"ok": True, "result": result}).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(found)))
                self.end_headers()
                self.wfile.write(found)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:  # a gateway that stopped
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """What the channel is given as `apiRoot`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def write(self, user: int, text: str, group: int | None = None, thread: int | None = None) -> None:
        """Have a user write to the bot: in the chat of the two, or in a group and one of its threads."""
        person = {"id": user, "is_bot": False, "first_name": f"User {user}"}
        chat: dict[str, Any] = {"id": user, "type": "private", "first_name": person["first_name"]}
        if group is not None:
            chat = {"id": group, "type": "supergroup", "title": "Operations", "is_forum": thread is not None}
        with self._lock:
            self._number += 1
            number = self._number
        message = {"message_id": number, "date": int(time.time()), "chat": chat, "from": person, "text": text}
        if thread is not None:
            message |= {"message_thread_id": thread, "is_topic_message": True}
        self._updates.put({"update_id": number, "message": message})

    def said(self, chat: int, text: str, seconds: float) -> dict[str, Any]:
        """Wait for a message to a chat that has a text in it; return it."""

        def look() -> dict[str, Any] | None:
            return next((one for one in self.sent if int(one["chat_id"]) == chat and text in one["text"]), None)

        return eventually(look, seconds, what=f"{text!r} in chat {chat}, where there is {self.sent}")

    def _call(self, method: str, args: dict[str, Any]) -> Any:
        if method == "getMe":
            return BOT
        if method == "getUpdates":
            try:
                return [self._updates.get(timeout=_POLL_SECONDS)]
            except queue.Empty:
                return []
        if method == "getWebhookInfo":
            return {"url": "", "has_custom_certificate": False, "pending_update_count": 0}
        if method != "sendMessage":
            return True
        with self._lock:
            self.sent.append(args)
            number = 1000 + len(self.sent)
        chat = {"id": int(args["chat_id"]), "type": "private" if int(args["chat_id"]) > 0 else "supergroup"}
        said = {"message_id": number, "date": int(time.time()), "chat": chat, "from": BOT, "text": args["text"]}
        thread = args.get("message_thread_id")
        return said if thread is None else {**said, "message_thread_id": thread, "is_topic_message": True}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)
