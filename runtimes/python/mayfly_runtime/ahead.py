"""What most functions import first, imported while an interpreter waits for its function.

Only the standard library, and nothing that imports `logging`, which is set up for one function when it is
imported. A module of the function's own by the same name goes first, as in an interpreter that did not wait.
"""

import os
import sys

COMMON = """
base64 calendar configparser contextlib copy csv dataclasses datetime decimal email.message email.parser email.utils
enum functools getpass gzip hashlib hmac html.parser http.client http.cookies importlib.metadata inspect ipaddress json
math mimetypes pathlib pickle platform queue random re secrets selectors shlex shutil signal socket ssl statistics
string struct subprocess tempfile textwrap threading traceback typing unicodedata urllib.parse urllib.request uuid
weakref xml.etree.ElementTree zipfile zlib
"""

_imported = set()


def load():
    before = set(sys.modules)
    for name in COMMON.split():
        try:
            __import__(name)
        except ImportError:
            pass  # An interpreter that was built without it.
    _imported.update(set(sys.modules) - before)


def forget(folders):
    """Forgets what lies in one of the folders as well, so that it is found there."""
    own = {entry.partition(".")[0] for folder in folders if os.path.isdir(folder) for entry in os.listdir(folder)}
    for name in _imported:
        if name.partition(".")[0] in own:
            del sys.modules[name]
    _imported.clear()
