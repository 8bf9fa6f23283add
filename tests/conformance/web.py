"""Web endpoints of a test: they keep what they are asked, and answer as they are told."""

import contextlib
import http.server
import json
import pathlib
import ssl
import subprocess
import threading

import mayfly


class Endpoint:
    """Answers with `answer(path, nth)`: a status, headers and a body; 200 if there is none."""

    def __init__(self, tls=None):
        self.requests, self.answers, self.held = [], {}, threading.Event()
        self.held.set()
        self.lock = threading.Lock()
        endpoint = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def serve(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                with endpoint.lock:
                    path = self.path.split("?")[0]
                    nth = len(endpoint.of(path))
                    endpoint.requests.append((self.command, self.path, dict(self.headers.items()), body))
                if path == "/stuck":
                    endpoint.held.wait(600)
                status, headers, answer = endpoint.answers.get(path, lambda nth: (200, {}, b""))(nth)
                self.send_response(status)
                for name, value in {**headers, "content-length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = serve

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 128

            def handle_error(self, request, client_address):
                """A client that breaks off is no news."""

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            # A handshake belongs to a connection's own thread: a client that is slow at it holds up nobody.
            wrapped = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
            self.server.socket = wrapped
        self.scheme = "https" if tls else "http"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, path="/"):
        return f"{self.scheme}://localhost:{self.server.server_address[1]}{path}"

    def of(self, path):
        """The requests of a path, in their order: method, path with query, headers in lower case, and body."""
        found = [request for request in self.requests if request[1].split("?")[0] == path]
        return [(method, target, {k.lower(): v for k, v in headers.items()}, body)
                for method, target, headers, body in found]

    def wait(self, path, count=1):
        mayfly.until(lambda: len(self.of(path)) >= count)
        return self.of(path)

    def close(self):
        self.held.set()
        self.server.shutdown()
        self.server.server_close()


@contextlib.contextmanager
def endpoint(tls=None):
    running = Endpoint(tls)
    try:
        yield running
    finally:
        running.close()


def certificate(folder):
    """A certificate of `localhost` that nobody else vouches for: its file, and that of its key."""
    folder = pathlib.Path(folder)
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", key, "-out", certificate,
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"],
        check=True, capture_output=True)
    return certificate, key


def document(status, value):
    """An answer that is JSON."""
    return status, {"content-type": "application/json"}, json.dumps(value).encode()
