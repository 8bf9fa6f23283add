"""Policies of buckets: what another account, or nobody at all, may do to a bucket and its objects."""

import json
import socket
import urllib.error
import urllib.request

from test_policies import GIVES_ITS_KEYS, OURS, ROOT, THEIRS, policy, refusal, statement
from test_policies import them, two, us  # noqa: F401 (fixtures)

import boto3

from mayfly import create, invoke

DENIED = ("AccessDenied", "Access Denied", 403)


def arn(bucket, keys=None):
    return f"arn:aws:s3:::{bucket}" + (f"/{keys}" if keys else "")


def set_policy(side, bucket, *statements):
    side.s3.put_bucket_policy(Bucket=bucket, Policy=policy(*statements))


def test_another_account_uses_a_bucket_by_leave(us, them):
    box = {"Bucket": "lent"}
    us.s3.create_bucket(**box)
    for key in ("public/a", "private/a"):
        us.s3.put_object(**box, Key=key, Body=b"ours")
    assert refusal(them.s3.get_object, **box, Key="public/a") == DENIED
    assert refusal(them.s3.delete_objects, **box, Delete={"Objects": [{"Key": "public/a"}]}) == DENIED
    theirs = {"AWS": THEIRS}
    prefix = {"StringEquals": {"s3:prefix": "in/"}}
    set_policy(us, "lent", statement("Allow", theirs, "s3:GetObject", arn("lent", "public/*")),
               statement("Allow", {"AWS": ROOT}, ["s3:PutObject", "s3:DeleteObject"], arn("lent", "in/*")),
               statement("Allow", theirs, "s3:ListBucket", arn("lent"), Condition=prefix))
    assert them.s3.get_object(**box, Key="public/a")["Body"].read() == b"ours"
    assert them.s3.head_object(**box, Key="public/a")["ContentLength"] == 4
    assert refusal(them.s3.get_object, **box, Key="private/a") == DENIED
    assert refusal(them.s3.get_object, **box, Key="public/none")[0] == "NoSuchKey"
    assert refusal(them.s3.get_object, **box, Key="public/a", VersionId="null") == DENIED, "another action"
    assert refusal(them.s3.get_object_attributes, **box, Key="public/a", ObjectAttributes=["ETag"]) == DENIED
    for key, expected in (("public/a", 200), ("private/a", 403)):
        url = them.s3.generate_presigned_url("get_object", Params={**box, "Key": key})
        assert status(url) == expected

    them.s3.put_object(**box, Key="in/a", Body=b"theirs")
    assert us.s3.get_object(**box, Key="in/a")["Body"].read() == b"theirs", "what is in a bucket is its account's"
    assert refusal(them.s3.get_object, **box, Key="in/a") == DENIED
    assert refusal(them.s3.put_object, **box, Key="public/a", Body=b"x") == DENIED
    assert refusal(them.s3.put_object, **box, Key="in/b", Body=b"x", Tagging="a=b") == DENIED, "tags want an action more"
    listed = them.s3.list_objects_v2(**box, Prefix="in/")["Contents"]
    assert [one["Key"] for one in listed] == ["in/a"]
    assert refusal(them.s3.list_objects_v2, **box) == DENIED
    assert refusal(them.s3.head_bucket, **box)[2] == 403

    # Copies want leave to read and to write; parts to write.
    them.s3.copy_object(**box, Key="in/copy", CopySource="lent/public/a")
    assert refusal(them.s3.copy_object, **box, Key="in/copy", CopySource="lent/private/a") == DENIED
    assert refusal(them.s3.copy_object, **box, Key="elsewhere", CopySource="lent/public/a") == DENIED
    them.s3.create_bucket(Bucket="borrowed")
    them.s3.copy_object(Bucket="borrowed", Key="a", CopySource="lent/public/a")
    assert refusal(us.s3.copy_object, **box, Key="x", CopySource="borrowed/a") == DENIED
    upload = {**box, "Key": "in/parts"}
    upload["UploadId"] = them.s3.create_multipart_upload(**upload)["UploadId"]
    part = them.s3.upload_part(**upload, PartNumber=1, Body=b"part")["ETag"]
    assert refusal(them.s3.list_parts, **upload) == DENIED
    them.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [{"ETag": part, "PartNumber": 1}]})
    assert refusal(them.s3.create_multipart_upload, **box, Key="parts") == DENIED

    # Of several deletions each is asked for.
    gone = them.s3.delete_objects(**box, Delete={"Objects": [{"Key": "in/a"}, {"Key": "public/a"}]})
    assert [one["Key"] for one in gone["Deleted"]] == ["in/a"]
    assert [(one["Key"], one["Code"], one["Message"]) for one in gone["Errors"]] == [("public/a", *DENIED[:2])]

    # The policy itself is for nobody else, whatever it says.
    assert refusal(them.s3.get_bucket_policy, **box) == DENIED
    set_policy(us, "lent", statement("Allow", theirs, "s3:*", [arn("lent"), arn("lent", "*")]))
    assert refusal(them.s3.get_bucket_policy, **box)[0] == "MethodNotAllowed"
    assert refusal(them.s3.delete_bucket_policy, **box)[2] == 405
    assert them.s3.get_bucket_location(**box)["LocationConstraint"] is None
    us.s3.delete_bucket_policy(**box)
    assert refusal(them.s3.get_object, **box, Key="public/a") == DENIED, "at once"


def test_a_bucket_tells_of_what_others_put_in_it(us, them):
    us.s3.create_bucket(Bucket="told-of-others")
    set_policy(us, "told-of-others", statement("Allow", {"AWS": THEIRS}, "s3:PutObject", arn("told-of-others", "*")))
    url, queue = us.queue("told-of-others")
    function = create(us.functions, "told-of-others", {"app.py": "def handler(event, context):\n    return event\n"})
    done_url, done = us.queue("told-of-others-done")
    us.functions.put_function_event_invoke_config(
        FunctionName="told-of-others", DestinationConfig={"OnSuccess": {"Destination": done}})
    us.functions.add_permission(FunctionName="told-of-others", StatementId="s3", Action="lambda:InvokeFunction",
                                Principal="s3.amazonaws.com", SourceArn=arn("told-of-others"), SourceAccount=OURS)
    events = ["s3:ObjectCreated:*"]
    rules = [{"Key": {"FilterRules": [{"Name": "prefix", "Value": prefix}]}} for prefix in "qf"]
    us.s3.put_bucket_notification_configuration(Bucket="told-of-others", NotificationConfiguration={
        "QueueConfigurations": [{"QueueArn": queue, "Events": events, "Filter": rules[0]}],
        "LambdaFunctionConfigurations": [{"LambdaFunctionArn": function["FunctionArn"], "Events": events, "Filter": rules[1]}]})
    (test, _), = us.bodies(url, 1)
    assert json.loads(test)["Event"] == "s3:TestEvent"
    for key in ("q", "f"):
        them.s3.put_object(Bucket="told-of-others", Key=key, Body=b"x")
    (body, _), = us.bodies(url, 1)
    assert json.loads(body)["Records"][0]["userIdentity"]["principalId"] == THEIRS
    (record, _), = us.bodies(done_url, 1)
    assert json.loads(record)["requestPayload"]["Records"][0]["s3"]["object"]["key"] == "f", "it acts for its own account"


def test_a_denial_holds_for_the_bucket_s_own_account(two, us):
    box = {"Bucket": "shut"}
    us.s3.create_bucket(**box)
    for key in ("keep/a", "b"):
        us.s3.put_object(**box, Key=key, Body=b"x")
    whole = [arn("shut"), arn("shut", "*")]
    only_tls = statement("Deny", "*", "s3:*", whole, Condition={"Bool": {"aws:SecureTransport": "false"}})
    set_policy(us, "shut", statement("Deny", "*", "s3:DeleteObject", arn("shut", "keep/*")), only_tls)
    code, text, status_ = refusal(us.s3.delete_object, **box, Key="keep/a")
    assert (code, status_) == ("AccessDenied", 403)
    assert text == (f"User: arn:aws:iam::{OURS}:root is not authorized to perform: s3:DeleteObject on resource: "
                    f"{arn('shut', 'keep/a')} with an explicit deny in a resource-based policy")
    gone = us.s3.delete_objects(**box, Delete={"Objects": [{"Key": "keep/a"}, {"Key": "b"}]})
    assert [one["Key"] for one in gone["Deleted"]] == ["b"] and [one["Code"] for one in gone["Errors"]] == ["AccessDenied"]

    create(us.functions, "shut-out", GIVES_ITS_KEYS)
    keys = invoke(us.functions, "shut-out")[1]
    function = boto3.Session(keys["AWS_ACCESS_KEY_ID"], keys["AWS_SECRET_ACCESS_KEY"], keys["AWS_SESSION_TOKEN"],
                             "us-east-1").client("s3", endpoint_url=two.endpoint)
    function.get_object(**box, Key="keep/a")
    set_policy(us, "shut", statement("Deny", {"AWS": f"arn:aws:iam::{OURS}:role/shut-out"}, "s3:GetObject", arn("shut", "*")))
    assert refusal(function.get_object, **box, Key="keep/a")[0] == "AccessDenied"
    us.s3.get_object(**box, Key="keep/a")

    set_policy(us, "shut", statement("Deny", "*", "s3:*", whole))
    assert refusal(us.s3.get_object, **box, Key="keep/a")[0] == "AccessDenied"
    assert refusal(us.s3.put_object, **box, Key="keep/b", Body=b"x")[0] == "AccessDenied"
    assert refusal(us.s3.list_objects_v2, **box)[0] == "AccessDenied"
    assert refusal(us.s3.delete_bucket, **box)[0] == "AccessDenied"
    assert json.loads(us.s3.get_bucket_policy(**box)["Policy"])["Statement"][0]["Effect"] == "Deny"
    assert refusal(function.delete_bucket_policy, **box)[0] == "AccessDenied", "its root alone is never locked out"
    us.s3.delete_bucket_policy(**box)
    us.s3.get_object(**box, Key="keep/a")


def test_what_is_no_bucket_policy_is_refused(us):
    box = {"Bucket": "strict-box"}
    us.s3.create_bucket(**box)
    none = ("NoSuchBucketPolicy", "The bucket policy does not exist", 404)
    assert refusal(us.s3.get_bucket_policy, **box) == none
    us.s3.delete_bucket_policy(**box)
    good = statement("Allow", {"AWS": THEIRS}, "s3:GetObject", arn("strict-box", "*"))
    no_json = "Policies must be valid JSON and the first byte must be '{'"
    for document, text in (
        ("nothing", no_json), ("{", no_json), ("[]", no_json),
        (policy({**good, "Effect": "Perhaps"}), None), (policy({**good, "Principal": {"AWS": "nobody"}}), None),
        (policy({**good, "Condition": {"StringIs": {"aws:SourceIp": "x"}}}), None), (policy(), None),
        (policy({**good, "Action": "sqs:SendMessage"}), "Policy has invalid action"),
        (policy({**good, "Resource": "*"}), "Policy has invalid resource"),
        (policy({**good, "Resource": arn("strict-box-2", "*")}), "Policy has invalid resource"),
        (policy({**good, "Sid": "s" * 21_000}), "Policy exceeds the maximum allowed document size."),
    ):
        code, told, status_ = refusal(us.s3.put_bucket_policy, **box, Policy=document)
        assert (code, status_) == ("MalformedPolicy", 400), document
        assert text in (None, told), document
    assert refusal(us.s3.get_bucket_policy, **box) == none
    us.s3.put_bucket_policy(**box, Policy=policy(good))
    assert us.s3.get_bucket_policy(**box)["Policy"] == policy(good), "as it was set"
    us.s3.delete_bucket(**box)
    us.s3.create_bucket(**box)
    assert refusal(us.s3.get_bucket_policy, **box) == none, "it goes with its bucket"


def status(url, method="GET", **headers):
    try:
        asked = urllib.request.Request(url, method=method, headers=headers)
        if method == "PUT":
            asked.data = b"x"  # Said to be a form, as urllib says of all data.
        return urllib.request.urlopen(asked).status
    except urllib.error.HTTPError as refused:
        return refused.code


def test_anyone_reads_what_a_policy_makes_public(two, us):
    us.s3.create_bucket(Bucket="website")
    us.s3.put_object(Bucket="website", Key="index.html", Body=b"hello")
    page = f"{two.endpoint}/website/index.html"
    assert status(page) == 403
    read = statement("Allow", "*", "s3:GetObject", arn("website", "*"))
    set_policy(us, "website", read)
    assert urllib.request.urlopen(page).read() == b"hello"
    assert status(page, "HEAD") == 200
    assert status(page, "PUT") == 403 and status(page, "DELETE") == 403
    assert status(f"{two.endpoint}/website") == 403 and status(page + "?acl") == 403
    assert status(f"{two.endpoint}/website?policy") == 403
    for condition, expected in (
        ({"IpAddress": {"aws:SourceIp": ["127.0.0.0/8", "::1/128"]}}, 200), ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, 403),
        ({"StringLike": {"aws:Referer": "http://ours/*"}}, 403),
    ):
        set_policy(us, "website", {**read, "Condition": condition})
        assert status(page) == expected, condition
    assert status(page, Referer="http://ours/page") == 200
    set_policy(us, "website", statement("Allow", "*", "s3:PutObject", arn("website", "in/*")))
    assert status(f"{two.endpoint}/website/in/a", "PUT") == 200
    assert us.s3.get_object(Bucket="website", Key="in/a")["Body"].read() == b"x"
    assert status(f"{two.endpoint}/website/in/a") == 403 and status(page, "PUT") == 403
    us.s3.delete_bucket_policy(Bucket="website")
    assert status(page) == 403

    # Whoever is refused before its body is told that the connection ends.
    host, port = two.endpoint.split("//")[1].split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"PUT /website/in/b HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 403") and b"connection: close" in answer, answer


TEMPLATE = """
Resources:
  Box: {Type: AWS::S3::Bucket, Properties: {BucketName: tpl-lent}}
  BoxPolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Box
      PolicyDocument:
        Version: "2012-10-17"
        Statement: [{Effect: Allow, Principal: {AWS: "THEM"}, Action: "s3:GetObject", Resource: !Sub "${Box.Arn}/*"}]
"""


def test_a_template_lends_a_bucket(two, us, them, tmp_path):
    file = tmp_path / "template.yaml"
    file.write_text(TEMPLATE.replace("THEM", THEIRS))
    two.run("deploy", tmp_path, "--stack", "lending")
    box = {"Bucket": "tpl-lent", "Key": "k"}
    us.s3.put_object(**box, Body=b"x")
    assert them.s3.get_object(**box)["Body"].read() == b"x"
    file.write_text(TEMPLATE.split("  BoxPolicy:")[0])
    two.run("deploy", tmp_path, "--stack", "lending")
    assert refusal(them.s3.get_object, **box) == DENIED
    us.s3.delete_object(**box)
    two.run("delete", "--stack", "lending", "--yes", "--force")
