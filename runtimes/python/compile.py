"""Compiles the modules of a package and prints the results: their tag, then each with its source's path.

Runs in a sandbox of its own with the package as the working directory. Every text and every result is preceded
by its length in four bytes; an empty path says that all is done. What does not compile is left out: whoever
imports it is told why.
"""

import marshal
import os
import sys
from importlib.util import MAGIC_NUMBER, source_hash

# Keyed by the hash of its source, which is not compared on import: a package never changes.
UNCHECKED_HASH = (1).to_bytes(4, "little")
# What is longer is not taken.
LONGEST = 16 << 20


def main():
    out = os.fdopen(1, "wb", 1 << 16, closefd=False)
    tell(out, sys.implementation.cache_tag.encode())
    for folder, names, files in os.walk("."):
        names.sort()
        for name in sorted(files):
            path = os.path.join(folder, name)
            if name.endswith(".py") and not os.path.islink(path):
                result = compiled(path)
                if result is not None and len(result) <= LONGEST:
                    tell(out, os.fsencode(path[2:]))
                    tell(out, result)
    tell(out, b"")
    out.flush()


def compiled(path):
    try:
        with open(path, "rb") as file:
            source = file.read()
        place = os.path.join("/var/task", path[2:])
        code = compile(source, place, "exec", dont_inherit=True)
        return MAGIC_NUMBER + UNCHECKED_HASH + source_hash(source) + marshal.dumps(code)
    except Exception:
        return None


def tell(out, data):
    out.write(len(data).to_bytes(4, "big"))
    out.write(data)


main()
