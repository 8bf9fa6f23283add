"""The page, uploads, and the pictures: what a browser talks to, apart from the listing."""

import base64
import json
import os
import re
import time

import s3

BUCKET = os.environ["BUCKET"]
PNG = b"\x89PNG\r\n\x1a\n"

with open(os.path.join(os.path.dirname(__file__), "index.html"), encoding="utf-8") as file:
    PAGE = file.read()


def handler(event, context):
    route = event["routeKey"]
    if route == "GET /":
        return reply(200, PAGE, "text/html; charset=utf-8")
    if route == "POST /photos":
        return upload(event)
    folder = "thumbs/" if route.startswith("GET /thumbs/") else "uploads/"
    return picture(folder + event["pathParameters"]["name"])


def upload(event):
    """Takes a PNG as the whole body, or as the file of a form."""
    body = event.get("body") or ""
    data = base64.b64decode(body) if event.get("isBase64Encoded") else body.encode()
    kind = event["headers"].get("content-type", "")
    name = (event.get("queryStringParameters") or {}).get("name", "picture.png")
    from_form = kind.startswith("multipart/form-data")
    if from_form:
        name, data = form_file(data, kind)
    if not data.startswith(PNG):
        return reply(415, json.dumps({"message": "Only PNG pictures are taken."}))
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name.rpartition(".")[0] or name)[:60] or "picture"
    # The time makes the name unique and sorts the newest last.
    name = "%d-%s.png" % (time.time_ns() // 1000, plain)
    s3.put(BUCKET, "uploads/" + name, data, "image/png")
    print("stored uploads/%s, %d bytes" % (name, len(data)))
    if from_form:
        # A browser without the page's script comes back to the page.
        return {"statusCode": 303, "headers": {"location": "./"}}
    return reply(201, json.dumps({"name": name, "bytes": len(data)}))


def form_file(data, kind):
    """The name and the bytes of the first file of a multipart/form-data body (RFC 7578)."""
    boundary = re.search(r'boundary="?([^";]+)', kind)
    if not boundary:
        return "", b""
    for part in data.split(b"--" + boundary.group(1).encode()):
        head, _, content = part.partition(b"\r\n\r\n")
        name = re.search(rb'filename="([^"]*)"', head)
        if name:
            return name.group(1).decode("utf-8", "replace"), content[: -len(b"\r\n")]
    return "", b""


def picture(key):
    try:
        data, kind = s3.get(BUCKET, key)
    except s3.Missing:
        return reply(404, json.dumps({"message": "There is no such picture."}))
    answer = reply(200, base64.b64encode(data).decode(), kind)
    answer["isBase64Encoded"] = True
    # A name is never used twice, so what is under it never changes.
    answer["headers"]["cache-control"] = "public, max-age=31536000, immutable"
    return answer


def reply(status, body, kind="application/json"):
    return {"statusCode": status, "headers": {"content-type": kind}, "body": body}
