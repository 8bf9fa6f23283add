"""Servers that topics send to: web endpoints and mail servers that keep what they get, and answer as they are told."""

import contextlib
import email
import email.policy
import http.server
import json
import socket
import ssl
import threading
import time
import urllib.request

import mayfly
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult


class Endpoint:
    """A web endpoint that keeps what it is sent, and answers as it is told."""

    def __init__(self, tls=None):
        self.got, self.times, self.answers, self.stuck = [], [], [], threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"])).decode()
                if self.path == "/stuck":
                    outer.stuck.wait(600)
                # Whoever sees a request may set answers for the next, so this one has its own by then.
                status = outer.answers.pop(0) if outer.answers and self.path == "/hook" else 200
                outer.times.append(time.monotonic())
                outer.got.append((self.path, dict(self.headers), body))
                self.send_response(status)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, request, client_address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.tls = tls
        if tls:
            # A handshake belongs to a connection's own thread: a client that is slow at it holds up nobody.
            self.server.socket = tls.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path="/hook"):
        scheme, host = ("https", "localhost") if self.tls else ("http", "127.0.0.1")
        return f"{scheme}://{host}:{self.server.server_address[1]}{path}"

    def of(self, kind, path="/hook"):
        return [(headers, body) for at, headers, body in list(self.got)
                if at == path and headers["x-amz-sns-message-type"] == kind]

    def stop(self):
        self.stuck.set()
        self.server.shutdown()
        self.server.server_close()


def confirm(endpoint, path="/hook"):
    [(_, body)] = mayfly.until(lambda: endpoint.of("SubscriptionConfirmation", path))
    asked = json.loads(body)
    with urllib.request.urlopen(asked["SubscribeURL"]) as answer:
        return asked, answer.read().decode()


class Mailbox:
    """A mail server that takes everybody's mail; with `tls` it wants that, and a name and a password: once it is asked
    to, or with `wrapped` from the first byte."""

    def __init__(self, tls=None, wrapped=False):
        self.got, self.answers, self.logins = [], [], []
        outer = self

        class Handler:
            async def handle_DATA(self, server, session, envelope):
                if outer.answers:
                    return outer.answers.pop(0)
                message = email.message_from_bytes(envelope.content, policy=email.policy.default)
                secured = server.transport.get_extra_info("sslcontext") is not None
                outer.got.append((envelope.rcpt_tos, message, secured))
                return "250 taken"

        def login(server, session, envelope, mechanism, data):
            outer.logins.append((data.login.decode(), data.password.decode()))
            return AuthResult(success=outer.logins[-1] == ("mayfly", "secret"))

        class Server(Controller):
            def _trigger_server(self):
                # It does not know that port 0 stands for a free one, and gives itself no more than a second.
                self.port = self.server.sockets[0].getsockname()[1]
                with contextlib.ExitStack() as stack:
                    door = stack.enter_context(socket.create_connection(("127.0.0.1", self.port), mayfly.PATIENCE))
                    if wrapped:
                        # It would greet itself as a server, which is no way to begin with TLS.
                        client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                        client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
                        door = stack.enter_context(client.wrap_socket(door))
                    door.recv(1024)

            def factory(self):
                if tls is None:
                    return SMTP(self.handler, enable_SMTPUTF8=True)
                how = {"auth_require_tls": False} if wrapped else {"tls_context": tls, "require_starttls": True}
                return SMTP(self.handler, enable_SMTPUTF8=True, auth_required=True, authenticator=login, **how)

        self.controller = Server(Handler(), hostname="127.0.0.1", port=0, ssl_context=tls if wrapped else None,
                                 ready_timeout=mayfly.PATIENCE)
        self.controller.start()
        self.port = self.controller.port

    def to(self, address):
        return [message for receivers, message, _ in list(self.got) if receivers == [address]]

    def stop(self):
        self.controller.stop()
