"""The parts of examples/photos that can be wrong without a platform: pictures and signatures."""

import json
import os
import random
import shutil
import struct
import subprocess
import sys
import unittest

from fake_api import ROOT

PHOTOS = os.path.join(ROOT, "examples", "photos")
sys.path[:0] = [PHOTOS, os.path.join(PHOTOS, "thumbnail"), os.path.join(PHOTOS, "shared", "python")]

import drive  # noqa: E402
import png  # noqa: E402
import s3  # noqa: E402

# The worked examples of the page "Signature calculations: transferring payload in a single chunk" in the
# Amazon S3 API reference.
PUBLISHED = {
    "host": "examplebucket.s3.amazonaws.com",
    "time": 1369353600,
    "credentials": ["AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "", "us-east-1"],
}
LISTING = ("/", "max-keys=2&prefix=J", "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
LIFECYCLE = ("/", "lifecycle=", "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")


class Png(unittest.TestCase):
    def rows(self, width, height, step):
        chance = random.Random(width * 31 + step)
        return [bytes(chance.randrange(256) for _ in range(width * step)) for _ in range(height)]

    def file(self, width, height, colour, rows, extra=b"", interlaced=0, depth=8):
        step = png.CHANNELS[colour]
        header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
        data = drive.filtered(rows, step, lambda y: y % 5)
        chunks = [
            png.chunk(b"IHDR", header),
            extra,
            png.chunk(b"IDAT", data[:9]),
            png.chunk(b"IDAT", data[9:]),
        ]
        return png.SIGNATURE + b"".join(chunks) + png.chunk(b"IEND", b"")

    def test_every_colour_type_and_filter_comes_back(self):
        for colour in (0, 2, 4, 6):
            rows = self.rows(13, 11, png.CHANNELS[colour])
            picture = png.decode(self.file(13, 11, colour, rows))
            self.assertEqual((picture.width, picture.height, picture.rows), (13, 11, rows), colour)
            again = png.decode(png.encode(picture))
            self.assertEqual((again.rows, again.channels), (rows, picture.channels))

    def test_palettes_become_rgb_and_rgba(self):
        palette = png.chunk(b"PLTE", bytes([1, 2, 3, 40, 50, 60]))
        picture = png.decode(self.file(3, 1, 3, [bytes([0, 1, 0])], palette))
        self.assertEqual(picture.rows, [bytes([1, 2, 3, 40, 50, 60, 1, 2, 3])])
        alpha = palette + png.chunk(b"tRNS", bytes([7]))
        picture = png.decode(self.file(2, 1, 3, [bytes([0, 1])], alpha))
        self.assertEqual((picture.channels, picture.rows), (4, [bytes([1, 2, 3, 7, 40, 50, 60, 255])]))
        with self.assertRaisesRegex(png.Unsupported, "palette lacks"):
            png.decode(self.file(1, 1, 3, [bytes([2])], palette))

    def test_boxes_are_averaged(self):
        row = bytes([0, 100, 10, 20])
        small = png.shrink(png.Picture(4, 2, 1, [row, row]), 2)
        self.assertEqual((small.width, small.height, small.rows), (2, 1, [bytes([50, 15])]))
        self.assertEqual(png.shrink(small, 2), small)

    def test_what_cannot_be_seen_does_not_shine_through(self):
        red, unseen_green = bytes([200, 0, 0, 255]), bytes([0, 255, 0, 0])
        small = png.shrink(png.Picture(2, 1, 4, [red + unseen_green]), 1)
        self.assertEqual(small.rows, [bytes([200, 0, 0, 128])])
        gone = png.shrink(png.Picture(2, 1, 4, [unseen_green * 2]), 1)
        self.assertEqual(gone.rows, [bytes(4)])

    def test_what_is_not_supported_is_refused_with_a_reason(self):
        rows = self.rows(4, 4, 3)
        good = self.file(4, 4, 2, rows)
        bomb = self.file(60000, 60000, 2, rows)
        cases = [
            (b"GIF89a", "not a PNG"),
            (png.SIGNATURE, "no header"),
            (self.file(4, 4, 2, rows, interlaced=1), "interlaced"),
            (self.file(4, 4, 2, rows, depth=16), "it has 16"),
            (self.file(4, 5, 2, rows), "cut short"),
            (bomb, "60000 x 60000 pixels"),
            (good[:40] + bytes([good[40] ^ 1]) + good[41:], "damaged"),
        ]
        for data, reason in cases:
            with self.assertRaisesRegex(png.Unsupported, reason):
                png.decode(data)
        chunks = png.chunk(b"IDAT", b"not zlib") + png.chunk(b"IEND", b"")
        with self.assertRaisesRegex(png.Unsupported, "damaged"):
            png.decode(good[:33] + chunks)

    def test_the_pictures_of_the_drive_are_pictures(self):
        for data, size in (
            (drive.sunset(), (480, 320)),
            (drive.ring(), (300, 400)),
            (drive.plasma(), (256, 256)),
        ):
            picture = png.decode(data)
            self.assertEqual((picture.width, picture.height), size)
            small = png.decode(png.encode(png.shrink(picture, 160)))
            self.assertEqual(max(small.width, small.height), 160)


class Signatures(unittest.TestCase):
    def test_the_python_client_signs_as_published(self):
        for path, query, wanted in (LISTING, LIFECYCLE):
            credentials = PUBLISHED["credentials"]
            headers = s3.sign("GET", PUBLISHED["host"], path, query, b"", PUBLISHED["time"], credentials)
            self.assertEqual(headers["authorization"].rpartition("Signature=")[2], wanted)

    @unittest.skipUnless(
        shutil.which("node"), "no Node.js on this machine: the listing's client is not tested"
    )
    def test_the_node_client_signs_as_published(self):
        script = """
import { canonicalQuery, sign } from '%s';
const [accessKey, secret, token, region] = %s;
const at = new Date(%d * 1000);
const keys = { accessKey, secret, token, region };
const signature = (query) => sign('GET', '%s', '/', query, at, keys).authorization;
const queries = [canonicalQuery({ prefix: 'J', 'max-keys': '2' }), canonicalQuery({ lifecycle: '' })];
console.log(JSON.stringify([...queries.map(signature), canonicalQuery({ b: "a b*'(!)", a: 'é/~' })]));
""" % (
            os.path.join(PHOTOS, "listing", "s3.mjs"),
            json.dumps(PUBLISHED["credentials"]),
            PUBLISHED["time"],
            PUBLISHED["host"],
        )
        node = ["node", "--input-type=module", "-e", script]
        listing, lifecycle, query = json.loads(subprocess.run(node, capture_output=True, check=True).stdout)
        self.assertTrue(listing.endswith(LISTING[2]), listing)
        self.assertTrue(lifecycle.endswith(LIFECYCLE[2]), lifecycle)
        self.assertEqual(query, "a=%C3%A9%2F~&b=a%20b%2A%27%28%21%29")


if __name__ == "__main__":
    unittest.main()
