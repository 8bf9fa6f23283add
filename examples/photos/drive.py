#!/usr/bin/env python3
"""Uses the photo gallery once, as a browser would: uploads three pictures and waits for their thumbnails.

    python3 drive.py URL

URL is the stack's output `Url`. Ends with status 1, and says why, if anything is not as it should be.
Standard library only; the pictures are made here, each in another of PNG's colour types and filters.
"""

import json
import math
import os
import struct
import sys
import time
import urllib.error
import urllib.request
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "thumbnail"))

import png  # noqa: E402

PATIENCE_S = 180
POLL_S = 0.05
SIDE = 160


class Failed(Exception):
    pass


def filtered(rows, step, choose):
    """Rows with PNG's filters applied, for the function to undo; `choose(y)` picks the one of a row."""
    packed = []
    above = bytes(len(rows[0]))
    for y, row in enumerate(rows):
        left = bytes(step) + row[:-step]
        corner = bytes(step) + above[:-step]
        kind = choose(y)
        if kind == 1:
            guess = left
        elif kind == 2:
            guess = above
        elif kind == 3:
            guess = bytes((a + b) // 2 for a, b in zip(left, above))
        elif kind == 4:
            guess = bytes(paeth(*samples) for samples in zip(left, above, corner))
        else:
            guess = bytes(len(row))
        packed.append(bytes([kind]) + bytes((sample - g) & 255 for sample, g in zip(row, guess)))
        above = row
    return zlib.compress(b"".join(packed))


def paeth(left, up, corner):
    guess = left + up - corner
    return min((left, up, corner), key=lambda sample: abs(guess - sample))


def make_png(width, height, colour, step, pixel, extra=b""):
    rows = [b"".join(bytes(pixel(x / width, y / height)) for x in range(width)) for y in range(height)]
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    data = filtered(rows, step, lambda y: y % 5)
    chunks = png.chunk(b"IHDR", header) + extra + png.chunk(b"IDAT", data) + png.chunk(b"IEND", b"")
    return png.SIGNATURE + chunks


def sunset():
    """RGB, 480 x 320."""

    def pixel(x, y):
        sun = math.hypot(x - 0.5, (y - 0.6) * 0.7) < 0.14
        if y > 0.68:
            wave = 20 * math.sin(60 * y + 8 * math.sin(9 * x))
            return 30, int(60 + wave), int(110 + wave)
        return (255, 236, 170) if sun else (int(255 - 60 * y), int(90 + 120 * y), int(120 - 60 * y))

    return make_png(480, 320, 2, 3, pixel)


def ring():
    """RGBA, 300 x 400: see-through but for a ring."""

    def pixel(x, y):
        away = math.hypot(x - 0.5, (y - 0.5) * 4 / 3)
        edge = min(1.0, max(0.0, (0.12 - abs(away - 0.33)) * 40))
        turn = (math.atan2(y - 0.5, x - 0.5) / math.tau) % 1
        return int(255 * turn), int(255 * (1 - turn)), 200, int(255 * edge)

    return make_png(300, 400, 6, 4, pixel)


def plasma():
    """A palette of 256 colours, 256 x 256."""
    wheel = (
        int(127.5 + 127.5 * math.sin(math.tau * (i / 256 + c / 3))) for i in range(256) for c in range(3)
    )
    palette = png.chunk(b"PLTE", bytes(wheel))

    def pixel(x, y):
        wave = math.sin(9 * x) + math.sin(7 * y + 2) + math.sin(12 * math.hypot(x - 0.3, y - 0.6))
        return (int(127.5 + 42 * wave),)

    return make_png(256, 256, 3, 1, pixel, palette)


def call(url, body=None, kind="application/octet-stream"):
    request = urllib.request.Request(url, data=body)
    if body is not None:
        request.add_header("Content-Type", kind)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.headers, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def expect(what, answer, status):
    if answer[0] != status:
        raise Failed("%s answered %d: %s" % (what, answer[0], answer[2][:300].decode("utf-8", "replace")))
    return answer


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


class Steps:
    """Prints each step with the time that it took."""

    def __init__(self):
        self.started = time.perf_counter()

    def done(self, text, since):
        print("  %8.1f ms  %s" % ((time.perf_counter() - since) * 1000, text), flush=True)


def drive(url):
    base = url if url.endswith("/") else url + "/"
    steps = Steps()
    print("Driving %s" % base)

    since = time.perf_counter()
    _, headers, page = expect("GET /", call(base), 200)
    if b"<form" not in page or not headers["content-type"].startswith("text/html"):
        raise Failed("GET / is not the page")
    steps.done("the page (Python), %d bytes" % len(page), since)

    pictures = {"sunset": sunset(), "ring": ring(), "plasma": plasma()}
    since = time.perf_counter()
    answer = expect("POST /fingerprint", call(base + "fingerprint", pictures["sunset"]), 200)
    if "<title>%016x</title>" % fnv1a(pictures["sunset"]) not in answer[2].decode():
        raise Failed("the fingerprint is not that of the picture: %r" % answer[2][:200])
    steps.done("a fingerprint (WebAssembly), %d bytes of SVG" % len(answer[2]), since)

    waiting = {name: upload(base, name, data, steps) for name, data in pictures.items()}
    stored = wait_for_thumbnails(base, waiting, steps)
    for name, photo in stored.items():
        check_pictures(base, name, photo, pictures[name], steps)

    refused = call(base + "photos?name=note.txt", b"not a picture", "text/plain")
    expect("POST /photos with text", refused, 415)
    print("Done in %.1f s. The gallery is at %s" % (time.perf_counter() - steps.started, base))


def upload(base, name, data, steps):
    since = time.perf_counter()
    answer = expect("POST /photos", call("%sphotos?name=%s.png" % (base, name), data, "image/png"), 201)
    stored = json.loads(answer[2])
    if stored["bytes"] != len(data):
        raise Failed("%d bytes of %s were stored, and %d sent" % (stored["bytes"], name, len(data)))
    steps.done("uploaded %s, %d bytes" % (stored["name"], len(data)), since)
    return stored["name"], time.perf_counter()


def wait_for_thumbnails(base, waiting, steps):
    """Asks for the listing until it has every picture; answers their entries."""
    found = {}
    deadline = time.perf_counter() + PATIENCE_S
    while len(found) < len(waiting):
        answer = expect("GET /photos", call(base + "photos"), 200)
        listed = {photo["name"]: photo for photo in json.loads(answer[2])["photos"]}
        for name, (key, since) in waiting.items():
            if key in listed and name not in found:
                found[name] = listed[key]
                steps.done("from upload to the thumbnail of %s in the listing (Node.js)" % name, since)
        if time.perf_counter() > deadline:
            missing = ", ".join(sorted(set(waiting) - set(found)))
            raise Failed("no thumbnail of %s within %d s; see the function's log" % (missing, PATIENCE_S))
        time.sleep(POLL_S)
    return found


def check_pictures(base, name, photo, original, steps):
    since = time.perf_counter()
    _, headers, data = expect("GET " + photo["thumb"], call(base + photo["thumb"]), 200)
    thumb, full = png.decode(data), png.decode(original)
    longest = max(full.width, full.height)
    wanted = (full.width * SIDE // longest, full.height * SIDE // longest)
    if (thumb.width, thumb.height) != wanted or headers["content-type"] != "image/png":
        raise Failed("the thumbnail of %s is %d x %d" % (name, thumb.width, thumb.height))
    if data != png.encode(png.shrink(full, SIDE)):
        raise Failed("the thumbnail of %s shows something else" % name)
    back = expect("GET " + photo["original"], call(base + photo["original"]), 200)[2]
    if back != original:
        raise Failed("%s came back with other bytes" % name)
    steps.done("%s: its thumbnail is right, %d x %d; the original is unchanged" % ((name,) + wanted), since)


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        drive(sys.argv[1])
    except (Failed, OSError, ValueError, KeyError) as error:
        sys.exit("failed: %s: %s" % (type(error).__name__, error))


if __name__ == "__main__":
    main()
