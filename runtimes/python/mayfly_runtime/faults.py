"""What callers and logs learn of a failure, in Lambda's words and shapes.

A record of several lines is one log event: its inner lines end in a carriage return, and only the last one
in a line feed, as Lambda's runtimes write to a plain pipe.
"""

import os
import sys

_HERE = os.path.dirname(__file__)


class Fault(Exception):
    """A failure that Lambda names itself, such as Runtime.HandlerNotFound; no traceback is shown for it."""

    def __init__(self, kind, message, trace=()):
        super().__init__(message)
        self.kind = kind
        self.trace = list(trace)


def describe(error, request_id):
    """The document that the Runtime API takes for an error."""
    if isinstance(error, Fault):
        kind, trace = error.kind, error.trace
    else:
        kind, trace = type(error).__name__, _frames(error)
    return {"errorMessage": _text(error), "errorType": kind, "requestId": request_id, "stackTrace": trace}


def _frames(error):
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    # The way from this package to the function's own code is of no interest to its author.
    while frames and (
        frames[0].filename.startswith(_HERE) or frames[0].filename.startswith("<frozen importlib")
    ):
        del frames[0]
    return traceback.format_list([(f.filename, f.lineno, f.name, f.line) for f in frames])


def _text(error):
    try:
        return str(error)
    except Exception as broken:
        return "<%s cannot be printed: %s>" % (type(error).__name__, type(broken).__name__)


def log_line(document):
    """The log record of an error, with its line feed."""
    if os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON":
        from . import codec, logs

        record = {"timestamp": logs.timestamp(), "level": "ERROR"}
        record.update(document)
        return codec.encode(record).decode("utf-8", "replace") + "\n"
    title = "[ERROR] %s" % document["errorType"]
    if document["errorMessage"]:
        title += ": " + document["errorMessage"]
    lines = title.splitlines() + ["Traceback (most recent call last):"]
    for entry in document["stackTrace"]:
        for line in entry.splitlines():
            text = line.lstrip(" ")
            # Leading spaces would be trimmed by the viewers of logs; no-break spaces are not.
            lines.append("\u00a0" * (len(line) - len(text)) + text)
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return ("\r".join(lines) + "\n").encode(encoding, "backslashreplace").decode(encoding)
