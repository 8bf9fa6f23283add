"""What an instance does until it has answered its first event, done once before it is known what for.

The first time costs most: a fork copies each page that it writes to, some two hundred of them, and an interpreter
looks every name up. Nobody waits for that while it is rehearsed, with a socket at whose other end nobody is.
"""

import os
from _socket import socketpair

from . import codec, context
from .client import Client

_ANSWER = "HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%s\r\n"
_EVENT = (
    "content-type: application/json\r\n"
    "lambda-runtime-aws-request-id: 00000000-0000-0000-0000-000000000000\r\n"
    "lambda-runtime-deadline-ms: 1000000000000\r\n"
    "lambda-runtime-invoked-function-arn: arn:aws:lambda:us-east-1:000000000000:function:none\r\n"
    "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
)


def rehearse(take_assignment, invoke):
    """Nothing is left of it but that `os.environ` may have been written to."""
    ours, theirs = socketpair()
    try:
        client = Client("127.0.0.1:9001", ours)
        _say(theirs, "", codec.encode({"LAMBDA_TASK_ROOT": os.getcwd(), **os.environ}))
        take_assignment(client)
        _say(theirs, _EVENT, b'{"key": ["value", 1, 2.5, null]}')
        headers, event = client.next()
        _say(theirs, _EVENT, b"{}")
        invoke(client, lambda event, _: event, headers, event)
        client.next()
    except Exception:
        pass  # The function's code has changed what is used here, and will tell its first event.
    finally:
        ours.close()
        theirs.close()
        context.request_id = ""


def _say(socket, headers, body):
    socket.sendall((_ANSWER % (len(body), headers)).encode() + body)
