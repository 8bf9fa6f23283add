"""The Runtime API over one kept connection, on the C socket type alone.

`http.client` would cost 27 ms of imports and `socket` 8 ms, before the first event. The platform's server
always sends a Content-Length, so that is the only framing understood here.
"""

import sys
from _socket import IPPROTO_TCP, MSG_DONTWAIT, MSG_PEEK, TCP_NODELAY, socket

# Above this size a body is sent by itself instead of being copied behind its head.
_JOIN_LIMIT = 65536


class Client:
    def __init__(self, address, connected=None):
        host, _, port = address.rpartition(":")
        self._peer = (host, int(port))
        self._common = "Host: %s\r\nUser-Agent: mayfly-python/%d.%d\r\n" % (
            (address,) + sys.version_info[:2]
        )
        self._socket = connected
        # The event that a result was answered with.
        self._ahead = None

    def next(self):
        """Waits for the next event; answers its headers (names in lower case) and its bytes."""
        ahead, self._ahead = self._ahead, None
        status, headers, body = ahead or self._exchange("GET", "invocation/next", "", b"")
        if status != 200:
            raise OSError("the platform answered %d to a request for an event: %r" % (status, bytes(body)))
        return headers, body

    def assignment(self, meanwhile=()):
        """Waits for the environment of the function that this process is to become, as JSON.

        Takes one step after the other of what there is to do meanwhile, until the answer is there.
        """
        status, _, body = self._exchange("GET", "assignment", "", b"", meanwhile)
        if status != 200:
            raise OSError("the platform answered %d to a request for an assignment: %r" % (status, bytes(body)))
        return body

    def respond(self, request_id, body, content_type):
        """Hands a result in; the platform may take its time, and answer with the next event."""
        headers = "Content-Type: %s\r\nMayfly-Next: wait\r\n" % content_type
        answer = self._post("invocation/%s/response" % request_id, headers, body)
        if answer[0] == 200:
            self._ahead = answer

    def fail(self, request_id, kind, document):
        self._post("invocation/%s/error" % request_id, _error_headers(kind), document)

    def fail_init(self, kind, document):
        self._post("init/error", _error_headers(kind), document)

    def fail_restore(self, kind, document):
        self._post("restore/error", _error_headers(kind), document)

    def snapshot(self, unfit):
        """Tells that this process is a template from now on, or why it cannot be one."""
        self._post("snapshot", "", unfit.encode("utf-8", "replace"))

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _post(self, path, headers, body):
        answer = self._exchange("POST", path, headers, body)
        # 413 says that the result is too large, and the platform has already told the caller so.
        if answer[0] >= 300 and answer[0] != 413:
            sys.stderr.write("The platform answered %d to %s: %r\n" % (answer[0], path, bytes(answer[2])))
        return answer

    def _exchange(self, method, path, headers, body, meanwhile=()):
        head = "%s /2018-06-01/runtime/%s HTTP/1.1\r\n%s%s" % (method, path, self._common, headers)
        if method == "POST":
            head += "Content-Length: %d\r\n" % len(body)
        head = (head + "\r\n").encode("latin-1")
        kept = self._socket is not None
        try:
            return self._attempt(head, body, meanwhile)
        except (ConnectionError, EOFError):
            self._socket = None
            if not kept:
                raise
        # The platform may have closed a connection that lay idle; a fresh one decides.
        return self._attempt(head, body, meanwhile)

    def _attempt(self, head, body, meanwhile):
        if self._socket is None:
            self._socket = socket()
            self._socket.connect(self._peer)
            self._socket.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
        if len(body) > _JOIN_LIMIT:
            self._socket.sendall(head)
            self._socket.sendall(body)
        else:
            self._socket.sendall(head + body)
        for _ in meanwhile:
            if self._is_answered():
                break
        return self._receive()

    def _is_answered(self):
        try:
            self._socket.recv(1, MSG_PEEK | MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def _receive(self):
        data = b""
        end = -1
        while end < 0:
            more = self._socket.recv(65536)
            if not more:
                raise EOFError("the platform closed the connection")
            data += more
            end = data.find(b"\r\n\r\n")
        lines = data[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        body = self._read_body(data[end + 4 :], int(headers.get("content-length", 0)))
        if headers.get("connection", "").lower() == "close":
            self._socket.close()
            self._socket = None
        return int(lines[0].split(" ", 2)[1]), headers, body

    def _read_body(self, start, length):
        if len(start) == length:
            return start
        body = bytearray(length)
        body[: len(start)] = start
        rest = memoryview(body)[len(start) :]
        while rest:
            count = self._socket.recv_into(rest)
            if not count:
                raise EOFError("the platform closed the connection within a body")
            rest = rest[count:]
        return body


def _error_headers(kind):
    # A class name may hold any letter, a header may not.
    plain = kind.encode("ascii", "replace").decode()
    return "Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: %s\r\n" % plain
