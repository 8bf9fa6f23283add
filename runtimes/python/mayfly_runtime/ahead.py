"""What most functions import first, imported while an interpreter waits for its function.

Only the standard library, and nothing that imports `logging`, which is set up for one function when it is
imported. A module of the function's own by the same name goes first, as in an interpreter that did not wait.
"""

import os
import sys

COMMON = """
datetime re enum functools typing contextlib collections.abc traceback inspect copy dataclasses base64 hashlib hmac
random decimal string urllib.parse urllib.request http.client ssl socket threading queue weakref uuid json time
tempfile shutil pathlib math struct pickle subprocess signal selectors email.message email.parser email.utils
importlib.metadata platform xml.etree.ElementTree calendar configparser csv getpass gzip html.parser http.cookies
ipaddress mimetypes secrets shlex statistics textwrap unicodedata zipfile zlib
"""


class Imports:
    def __init__(self):
        self._before = set(sys.modules)

    def steps(self):
        """Imports one module after the other, so that whoever waits can go as soon as there is something to do."""
        for name in COMMON.split():
            try:
                __import__(name)
            except ImportError:
                pass  # An interpreter that was built without it.
            yield

    def forget(self, folders):
        """Forgets what lies in one of the folders as well, so that it is found there."""
        own = {entry.partition(".")[0] for folder in folders if os.path.isdir(folder) for entry in os.listdir(folder)}
        for name in set(sys.modules) - self._before:
            if name.partition(".")[0] in own:
                del sys.modules[name]
