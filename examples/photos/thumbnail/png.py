"""PNG pictures (ISO/IEC 15948) in plain Python: decode, shrink, encode.

Decoded are eight bits per sample, not interlaced: grey, grey with alpha, RGB, RGBA and palettes. That is what
cameras' exports and screenshots are; anything else is refused with a reason.
"""

import struct
import zlib

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Samples per pixel of each colour type.
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
COLOURS = {1: 0, 2: 4, 3: 2, 4: 6}
# A small file may unpack to anything; this much is a picture of 16 million pixels.
MAX_PIXELS = 16_000_000


class Unsupported(ValueError):
    pass


class Picture:
    """`rows` are bytes with `channels` samples per pixel: grey, grey and alpha, RGB, or RGBA."""

    def __init__(self, width, height, channels, rows):
        self.width, self.height, self.channels, self.rows = width, height, channels, rows


def decode(data):
    if not data.startswith(SIGNATURE):
        raise Unsupported("it is not a PNG")
    header, palette, alpha, packed = None, b"", b"", []
    for kind, content in _chunks(data):
        if kind == b"IHDR" and len(content) == 13:
            header = struct.unpack(">IIBBBBB", content)
        elif kind == b"PLTE":
            palette = content
        elif kind == b"tRNS":
            alpha = content
        elif kind == b"IDAT":
            packed.append(content)
    if header is None:
        raise Unsupported("it has no header")
    width, height, depth, colour, _, _, interlaced = header
    if depth != 8 or colour not in CHANNELS:
        raise Unsupported("only eight bits per sample are decoded, and it has %d" % depth)
    if interlaced:
        raise Unsupported("it is interlaced")
    if not 0 < width * height <= MAX_PIXELS:
        raise Unsupported("it has %d x %d pixels" % (width, height))
    rows = _unfilter(
        _unpack(packed, (width * CHANNELS[colour] + 1) * height), width, height, CHANNELS[colour]
    )
    if colour == 3:
        return _look_up(width, height, rows, palette, alpha)
    return Picture(width, height, CHANNELS[colour], rows)


def _chunks(data):
    at = len(SIGNATURE)
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        check = data[at + 8 + length : at + 12 + length]
        if len(check) < 4 or struct.unpack(">I", check)[0] != zlib.crc32(kind + content):
            raise Unsupported("it is damaged")
        yield kind, content
        at += 12 + length


def _unpack(packed, size):
    unpacker = zlib.decompressobj()
    try:
        raw = unpacker.decompress(b"".join(packed), size)
    except zlib.error as error:
        raise Unsupported("it is damaged: %s" % error)
    if len(raw) < size:
        raise Unsupported("it is cut short")
    return raw


def _unfilter(raw, width, height, step):
    """Undoes the filter of each row; its number is the row's first byte."""
    stride = width * step
    above = bytearray(stride)
    rows = []
    for y in range(height):
        start = y * (stride + 1)
        row = bytearray(raw[start + 1 : start + 1 + stride])
        if raw[start] > 4:
            raise Unsupported("it is damaged")
        FILTERS[raw[start]](row, above, step)
        rows.append(bytes(row))
        above = row
    return rows


def _none(row, above, step):
    pass


def _sub(row, above, step):
    for i in range(step, len(row)):
        row[i] = (row[i] + row[i - step]) & 255


def _up(row, above, step):
    row[:] = bytes((a + b) & 255 for a, b in zip(row, above))


def _average(row, above, step):
    for i in range(len(row)):
        left = row[i - step] if i >= step else 0
        row[i] = (row[i] + (left + above[i]) // 2) & 255


def _paeth(row, above, step):
    for i in range(len(row)):
        left = row[i - step] if i >= step else 0
        corner = above[i - step] if i >= step else 0
        up = above[i]
        guess = left + up - corner
        to_left, to_up, to_corner = abs(guess - left), abs(guess - up), abs(guess - corner)
        if to_left <= to_up and to_left <= to_corner:
            nearest = left
        else:
            nearest = up if to_up <= to_corner else corner
        row[i] = (row[i] + nearest) & 255


FILTERS = (_none, _sub, _up, _average, _paeth)


def _look_up(width, height, rows, palette, alpha):
    """A picture with a palette as RGB, or as RGBA if some of its colours are see-through."""
    count = len(palette) // 3
    if any(max(row) >= count for row in rows):
        raise Unsupported("its palette lacks a colour")
    planes = [palette[c::3].ljust(256, b"\0") for c in range(3)]
    if alpha:
        planes.append(alpha[:256].ljust(256, b"\xff"))
    made = []
    for row in rows:
        pixels = bytearray(width * len(planes))
        for c, plane in enumerate(planes):
            pixels[c :: len(planes)] = row.translate(plane)
        made.append(bytes(pixels))
    return Picture(width, height, len(planes), made)


def shrink(picture, side):
    """The picture with no side longer than `side`: each pixel is the mean of the box that it covers."""
    longest = max(picture.width, picture.height)
    if longest <= side:
        return picture
    width = max(1, picture.width * side // longest)
    height = max(1, picture.height * side // longest)
    columns = [(x * picture.width // width, (x + 1) * picture.width // width) for x in range(width)]
    rows = []
    for y in range(height):
        box = picture.rows[y * picture.height // height : (y + 1) * picture.height // height]
        rows.append(_shrink_row(box, columns, picture.channels))
    return Picture(width, height, picture.channels, rows)


def _shrink_row(box, columns, channels):
    see_through = channels in (2, 4)
    colours = channels - see_through
    sums = [[sum(samples) for samples in zip(*(row[c::channels] for row in box))] for c in range(channels)]
    if see_through:
        # A colour counts by its alpha: what cannot be seen must not shine through.
        alphas = [row[colours::channels] for row in box]
        for c in range(colours):
            weighed = ([s * a for s, a in zip(row[c::channels], alpha)] for row, alpha in zip(box, alphas))
            sums[c] = [sum(samples) for samples in zip(*weighed)]
    out = bytearray()
    for left, right in columns:
        area = (right - left) * len(box)
        weight = sum(sums[colours][left:right]) if see_through else area
        for c in range(colours):
            out.append((sum(sums[c][left:right]) + weight // 2) // weight if weight else 0)
        if see_through:
            out.append((weight + area // 2) // area)
    return bytes(out)


def encode(picture):
    raw = b"".join(b"\0" + row for row in picture.rows)
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, COLOURS[picture.channels], 0, 0, 0)
    return SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
