"""The operation table against AWS's models: names, routes, required members and constraints."""

import json
import re
import urllib.parse

import pytest
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.exceptions import ConnectionClosedError
from botocore.httpsession import URLLib3Session
from botocore.serialize import create_serializer

import coverage
import mayfly
import members

TABLE = coverage.table()

# What the table is known to lack or to say otherwise. These lists may only shrink: a line that no longer fails
# fails the tests.
ROUTE_GAPS = set()
REQUIRED_GAPS = set()
VALUE_GAPS = set()

# Codes that mean "the request is wrong" in every service, beside the modelled ones.
VALIDATION = {
    "ValidationException", "ValidationError", "InvalidParameterValueException", "InvalidParameterException",
    "InvalidRequestContentException", "SerializationException", "BadRequestException", "BadRequest",
    "InvalidRequest", "InvalidArgument", "InvalidParameterValue", "MissingParameter", "MalformedXML",
    "MissingRequestBodyError", "InvalidBucketName", "NoSuchBucket", "NoSuchKey", "NoSuchUpload",
    "ResourceNotFoundException", "NotFoundException", "InvalidZipFileException", "InvalidTag",
    "MissingSecurityHeader", "MissingAction", "InvalidDigest", "MalformedPolicy",
}

# Of the values that a member may have, those that Mayfly has something for.
OURS = ["HTTP", "lambda", "lambda:function:ProvisionedConcurrency"]

# Without these the request is that of another operation, such as PutObject, and as good as any.
DECIDES_THE_OPERATION = {
    "s3.CopyObject.CopySource",
    "s3.UploadPart.UploadId",
    "s3.UploadPart.PartNumber",
    "s3.UploadPartCopy.CopySource",
    "s3.UploadPartCopy.UploadId",
    "s3.AbortMultipartUpload.UploadId",
    "s3.CompleteMultipartUpload.UploadId",
    "s3.ListParts.UploadId",
}


def operations():
    for service, entry in TABLE.items():
        model = coverage.model(service)
        for operation in entry["operations"]:
            if operation["name"] in model.operation_names:
                yield service, model.operation_model(operation["name"])


def sample(shape, depth=0):
    """A value that the model allows, as small as it may be."""
    match shape.type_name:
        case "string":
            if shape.enum:
                return next((value for value in OURS if value in shape.enum), shape.enum[0])
            text = {"timestamp": "0"}.get(shape.name, "a" * max(3, shape.metadata.get("min", 3)))
            return text[: shape.metadata.get("max", len(text))]
        case "integer" | "long":
            return max(1, shape.metadata.get("min", 1))
        case "float" | "double":
            return 1.0
        case "boolean":
            return True
        case "blob":
            return b"x"
        case "timestamp":
            return 1_700_000_000
        case "list":
            return [sample(shape.member, depth + 1)]
        case "map":
            return {"key": sample(shape.value, depth + 1)}
        case "structure":
            wanted = shape.required_members if depth < 6 else []
            return {name: sample(shape.members[name], depth + 1) for name in wanted}


def in_path(shape, name):
    return shape.members[name].serialization.get("location") == "uri"


# What hardly any pattern admits.
NO_NAME = "{no name} \u00e9"


class Caller:
    """Signs and sends what a client's own validation would not let out."""

    def __init__(self, cloud):
        self.cloud = cloud
        self.credentials = Credentials(cloud.key["access_key_id"], cloud.key["secret_access_key"])
        self.http = URLLib3Session(timeout=mayfly.PATIENCE)

    def send(self, service, operation, params):
        model = coverage.model(service)
        serializer = create_serializer(model.metadata["protocol"], include_validation=False)
        made = serializer.serialize_to_request(params, operation)
        query = made["query_string"]
        query = urllib.parse.urlencode(query, doseq=True, quote_via=urllib.parse.quote) if isinstance(query, dict) else query
        path, _, fixed = made["url_path"].partition("?")
        query = "&".join(part for part in (fixed, query) if part)
        body = made["body"]
        if isinstance(body, dict):
            body = urllib.parse.urlencode(body)
        url = self.cloud.endpoint + urllib.parse.quote(path, safe="/%~:") + (f"?{query}" if query else "")
        request = AWSRequest(made["method"], url, headers=made["headers"], data=body)
        auth = S3SigV4Auth if service == "s3" else SigV4Auth
        auth(self.credentials, TABLE[service]["scope"], "us-east-1").add_auth(request)
        try:
            return self.http.send(request.prepare())
        except ConnectionClosedError:
            # After a refusal before the body was read; as every SDK does, again.
            return self.http.send(request.prepare())


@pytest.fixture(scope="module")
def caller():
    """A server of its own that holds what the sampled names name, so that few calls end at "not found"."""
    with mayfly.server() as cloud:
        mayfly.create(cloud.client("lambda"), "aaa", {"app.py": "def handler(e, c): pass\n"})
        cloud.client("s3").create_bucket(Bucket="aaa")
        cloud.client("s3").put_object(Bucket="aaa", Key="aaa", Body=b"x")
        cloud.client("logs").create_log_group(logGroupName="aaa")
        cloud.client("logs").create_log_stream(logGroupName="aaa", logStreamName="aaa")
        yield Caller(cloud)


def text_of(answer):
    # An answer may be CBOR.
    return answer.content.decode(errors="replace")


def code_of(answer):
    text = text_of(answer)
    code = answer.headers.get("x-amzn-errortype", "")
    if not code and text.startswith("{"):
        body = json.loads(text)
        code = body.get("__type") or body.get("code") or ""
    if not code and "<Code>" in text:
        code = text.split("<Code>")[1].split("</Code>")[0]
    return code.split(":")[0].split("#")[-1]


def complaint(service, operation, answer):
    """Why the answer is not a refusal as it should be, or None."""
    if answer.status_code == 501:
        return None
    if not 400 <= answer.status_code < 500:
        return f"{answer.status_code} {text_of(answer)[:120]}"
    errors = operation.error_shapes
    known = VALIDATION | {name for shape in errors for name in (shape.name, shape.metadata.get("error", {}).get("code"))}
    code = code_of(answer)
    if operation.http.get("method") == "HEAD":
        return None
    return None if code in known else f"{answer.status_code} with the unmodelled code {code!r}"


def against(gaps, found):
    new = {case: why for case, why in found.items() if case not in gaps}
    gone = gaps - set(found)
    assert not new, json.dumps(new, indent=1)
    assert not gone, f"no longer gaps, so take them off the list: {sorted(gone)}"


def plain(path):
    return path.rstrip("/") or "/"


def test_names_and_routes_are_those_of_the_models():
    found = {}
    for service, entry in TABLE.items():
        model = coverage.model(service)
        for operation in entry["operations"]:
            name, route = operation["name"], operation["route"]
            case = f"{service}.{name}"
            if name not in model.operation_names:
                found[case] = "no such operation"
                continue
            http = model.operation_model(name).http
            if model.metadata["protocol"].startswith("rest"):
                path, _, _ = http["requestUri"].partition("?")
                wanted = (http["method"], plain(path))
                if route is None or (route["method"], plain(route["path"])) != wanted:
                    found[case] = f"{wanted} in the model, {route and (route['method'], route['path'])} here"
            elif route is not None:
                found[case] = "a route where the protocol has none"
    against(ROUTE_GAPS, found)


def test_the_coverage_page_is_current():
    kept = (coverage.ROOT / "docs" / "coverage.md").read_text()
    assert kept == coverage.page(), "run: python tests/conformance/coverage.py > docs/coverage.md"


def test_a_missing_required_member_is_refused(caller):
    found, calls = {}, 0
    for service, operation in operations():
        shape = operation.input_shape
        for name in shape.required_members if shape else []:
            case = f"{service}.{operation.name}.{name}"
            if in_path(shape, name) or case in DECIDES_THE_OPERATION:
                continue
            params = sample(shape)
            del params[name]
            calls += 1
            why = complaint(service, operation, caller.send(service, operation, params))
            if why:
                found[case] = why
    assert calls > 30, "the models were not walked"
    against(REQUIRED_GAPS, found)


def forbids(pattern, text):
    """Whether a pattern admits a text. Some are of another language than Python's."""
    try:
        return not re.fullmatch(pattern, text)
    except re.error:
        return False


def violations(shape):
    """Values that a scalar's model forbids."""
    if shape.type_name == "string":
        if shape.enum:
            yield "enum", "no-such-value"
        elif "pattern" in shape.metadata and forbids(shape.metadata["pattern"], NO_NAME):
            yield "pattern", NO_NAME
        if shape.metadata.get("max", 10**6) < 5000:
            yield "max", "a" * (shape.metadata["max"] + 1)
    elif shape.type_name in ("integer", "long"):
        if "max" in shape.metadata and shape.metadata["max"] < 2**31 - 1:
            yield "max", shape.metadata["max"] + 1
        if shape.metadata.get("min", -1) > 0:
            yield "min", shape.metadata["min"] - 1


def test_a_value_against_the_model_is_refused(caller):
    found, calls = {}, 0
    for service, operation in operations():
        shape = operation.input_shape
        for name, member in shape.members.items() if shape else []:
            if in_path(shape, name) or member.serialization.get("location") == "header":
                continue
            for kind, value in violations(member):
                calls += 1
                answer = caller.send(service, operation, {**sample(shape), name: value})
                why = complaint(service, operation, answer)
                if why:
                    found[f"{service}.{operation.name}.{name}.{kind}"] = why
    assert calls > 30, "the models were not walked"
    against(VALUE_GAPS, found)


def test_what_an_operation_does_not_read_it_refuses(caller):
    found = members.refused(caller.cloud, caller, operations(), sample)
    assert found == members.listed(), "run: python tests/conformance/members.py, and see what changed"
    for service, kept in members.KEPT.items():
        of_service = [operation for name, operation in operations() if name == service]
        cases = members.acted_on_or_kept(service, of_service)
        assert len(cases) >= len(kept), f"{service}: what is kept is not in the models"
        for operation, member in cases:
            assert member not in found.get(service, {}).get(operation, []), f"{operation}.{member} is refused"
