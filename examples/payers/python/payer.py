"""A payer that takes webhooks: pays each grant once, and answers repeats as it answered the first.

    PAYER_SECRETS=whsec_… PAYER_BOOK=payments.sqlite python3 payer.py 8090

Only Python's standard library is needed. Behind a server of your own, keep `verified` and `pay`.
"""

import base64
import hashlib
import hmac
import json
import os
import sqlite3
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Messages further away from our clock may be old ones that somebody recorded.
SECONDS_APART_MAX = 300
BODY_BYTES_MAX = 64 * 1024

SECRETS = [
    base64.b64decode(secret.removeprefix("whsec_"))
    for secret in os.environ["PAYER_SECRETS"].split(",")
]
BOOK = os.environ.get("PAYER_BOOK", "payments.sqlite")


def open_book():
    book = sqlite3.connect(BOOK, timeout=10)
    book.execute(
        "create table if not exists payments"
        " (grant_id text primary key, user_id text, kind text, code text, amount integer)"
    )
    return book


def verified(headers, body):
    """Whether Plaudit sent this, now."""
    message_id, timestamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > SECONDS_APART_MAX:
        return False
    signed = f"{message_id}.{timestamp}.".encode() + body
    given = [part.encode() for part in headers.get("webhook-signature", "").split(" ")]
    wanted = [
        b"v1," + base64.b64encode(hmac.new(secret, signed, hashlib.sha256).digest())
        for secret in SECRETS
    ]
    return any(hmac.compare_digest(a, b) for a in given for b in wanted)


def pay(event):
    """Pays a grant unless it was paid. The unique key and the payment are one transaction."""
    data = event["data"]
    book = open_book()
    try:
        with book:
            book.execute(
                "insert into payments values (?, ?, ?, ?, ?) on conflict do nothing",
                (event["id"], event["subject"], data["kind"], data["code"], data["amount"]),
            )
            # Credit the user's account here, in the same transaction, if a row was inserted.
    finally:
        book.close()


class Payer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        length = int(self.headers.get("content-length", 0))
        if length > BODY_BYTES_MAX:
            self.answer(413)
            self.close_connection = True
            return
        body = self.rfile.read(length)
        if not verified(self.headers, body):
            self.answer(401)
            return
        event = json.loads(body)
        # Other types are for others, or for a test: take them, and pay nothing.
        if event["type"] == "plaudit.reward.granted":
            pay(event)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    open_book().close()
    server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Payer)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
