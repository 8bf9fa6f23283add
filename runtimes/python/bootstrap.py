"""Starts a Python function: `python3 -S -B bootstrap.py`, as the instance's one process.

All of the work is in the package beside it, because a script is compiled on every start and a package only
once: `python3.X -m compileall mayfly_runtime`, run where the folder can still be written, saves about 5 ms.
"""

import sys

# Code and packages are mounted read-only: trying to cache bytecode would be a failed system call per module.
sys.dont_write_bytecode = True

from mayfly_runtime import main  # noqa: E402

main()
