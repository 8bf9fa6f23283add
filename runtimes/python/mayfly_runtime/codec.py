"""JSON in and out, through the C halves of the standard `json` module.

The pure Python halves import `re`, which doubles the start of a small function. `_json` is an implementation
detail of CPython, so whatever goes wrong with it is settled by `json` itself: there the exact error comes
from.
"""

import sys

from .faults import Fault

try:
    from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner
except ImportError:
    make_scanner = make_encoder = None

_WHITESPACE = " \t\n\r"


class _Rules:
    """What `make_scanner` asks of a decoder: the defaults of `json.JSONDecoder`."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"-Infinity": float("-inf"), "Infinity": float("inf"), "NaN": float("nan")}.__getitem__
    memo = {}


def _default(value):
    """Lambda writes decimal.Decimal as a number; its digits beyond those of a double are lost here."""
    decimal = sys.modules.get("decimal")
    if decimal and isinstance(value, decimal.Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


# As on Lambda: text beyond ASCII is escaped up to Python 3.11 and sent as it is from 3.12 on.
_ASCII = sys.version_info < (3, 12)

try:
    _scan = make_scanner(_Rules)
    _text = encode_basestring_ascii if _ASCII else encode_basestring
except TypeError:
    _scan = make_encoder = None


def decode(body):
    try:
        text = str(body, "utf-8").strip(_WHITESPACE)
        if _scan is not None:
            try:
                value, end = _scan(text, 0)
                if end == len(text):
                    return value
            except (StopIteration, ValueError, SystemError):
                pass  # Up to Python 3.11 the scanner fails without an exception if `json` is not imported.
        import json

        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % error)


def encode(value):
    """The JSON of `value` as bytes."""
    if make_encoder is None:
        import json

        return json.dumps(value, default=_default, ensure_ascii=_ASCII).encode("utf-8")
    encoder = make_encoder({}, _default, _text, None, ": ", ", ", False, False, True)
    return "".join(encoder(value, 0)).encode("utf-8", "surrogatepass")


def encode_result(result):
    """A handler's result and its content type. Bytes pass as they are."""
    if isinstance(result, bytes):
        return result, "application/unknown"
    try:
        return encode(result), "application/json"
    except Exception as error:
        raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % error)
