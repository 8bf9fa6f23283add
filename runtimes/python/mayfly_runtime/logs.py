"""The root handler of `logging`, imported only when the function's code imports `logging`.

Text lines read `[LEVEL]<tab>time<tab>request id<tab>message`; with AWS_LAMBDA_LOG_FORMAT=JSON each record
is one JSON object. AWS_LAMBDA_LOG_LEVEL sets the root logger's level, which otherwise stays at WARNING.
"""

import os
import sys
import time

from . import codec, context

# Lambda's name for the one level that Python calls otherwise.
_LEVELS = {"FATAL": "CRITICAL", "WARN": "WARNING", "TRACE": "DEBUG"}


def timestamp(seconds=None):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def install(logging):
    as_json = os.environ.get("AWS_LAMBDA_LOG_FORMAT", "").upper() == "JSON"
    known = set(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
    exceptions = logging.Formatter()

    def text_of(record):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        # Inner line breaks become carriage returns: a record is one log event.
        message = _full_message(exceptions, record).rstrip("\n").replace("\n", "\r")
        return "[%s]\t%s.%03dZ\t%s\t%s\n" % (
            record.levelname,
            stamp,
            record.msecs,
            context.request_id,
            message,
        )

    def json_of(record):
        return codec.encode(_document(exceptions, record, known)).decode() + "\n"

    class LambdaLoggerHandler(logging.Handler):
        def emit(self, record):
            record.aws_request_id = context.request_id
            try:
                if self.formatter:
                    line = self.format(record).rstrip("\n").replace("\n", "\r") + "\n"
                else:
                    line = json_of(record) if as_json else text_of(record)
                sys.stdout.write(line)
            except Exception:
                self.handleError(record)

    root = logging.getLogger()
    root.addHandler(LambdaLoggerHandler())
    level = os.environ.get("AWS_LAMBDA_LOG_LEVEL", "").upper()
    level = _LEVELS.get(level, level)
    if level in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"):
        root.setLevel(level)


def _full_message(exceptions, record):
    text = record.getMessage()
    if record.exc_info and not record.exc_text:
        record.exc_text = exceptions.formatException(record.exc_info)
    if record.exc_text:
        text += "\n" + record.exc_text
    if record.stack_info:
        text += "\n" + record.stack_info
    return text


def _document(exceptions, record, known):
    document = {
        "timestamp": timestamp(record.created),
        "level": record.levelname,
        "message": record.getMessage(),
        "logger": record.name,
        "requestId": context.request_id,
    }
    if context.tenant_id is not None:
        document["tenantId"] = context.tenant_id
    if record.exc_info and record.exc_info[0]:
        document["errorType"] = record.exc_info[0].__name__
        document["errorMessage"] = str(record.exc_info[1])
        document["stackTrace"] = exceptions.formatException(record.exc_info).split("\n")
        document["location"] = "%s:%s:%s" % (record.pathname, record.funcName, record.lineno)
    for name, value in vars(record).items():
        if name not in known and name not in document and name != "aws_request_id":
            document[name] = value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
    return document
