"""Makes the thumbnail of each picture that appears under uploads/."""

import time
from urllib.parse import unquote_plus

import png
import s3

SIDE = 160


def handler(event, context):
    for record in event["Records"]:
        bucket = record["s3"]["bucket"]["name"]
        # Keys arrive encoded as in a form.
        make(bucket, unquote_plus(record["s3"]["object"]["key"]))


def make(bucket, key):
    started = time.perf_counter()
    try:
        data, _ = s3.get(bucket, key)
        picture = png.decode(data)
    except s3.Missing:
        print("%s is gone already" % key)
        return
    except png.Unsupported as reason:
        # Trying again would not help, so this is not an error of the invocation.
        print("no thumbnail of %s: %s" % (key, reason))
        return
    small = png.shrink(picture, SIDE)
    s3.put(bucket, key.replace("uploads/", "thumbs/", 1), png.encode(small), "image/png")
    took = (time.perf_counter() - started) * 1000
    print(
        "%s: %dx%d to %dx%d in %d ms"
        % (key, picture.width, picture.height, small.width, small.height, took)
    )
