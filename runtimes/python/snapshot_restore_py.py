"""What a function does before its snapshot and after a restore: the interface that AWS documents for Python.

The page is "Lambda SnapStart runtime hooks for Python". Both functions register a callable with its arguments, and are
decorators for one without. Hooks before a snapshot run in the reverse order of registration, those after a restore in
its order. Not here: running them (`mayfly_runtime.snapshot`).
"""

_before_snapshot = []
_after_restore = []


def register_before_snapshot(func, *args, **kwargs):
    _before_snapshot.append((func, args, kwargs))
    return func


def register_after_restore(func, *args, **kwargs):
    _after_restore.append((func, args, kwargs))
    return func


def get_before_snapshot():
    return _before_snapshot


def get_after_restore():
    return _after_restore
