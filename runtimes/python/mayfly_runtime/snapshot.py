"""Templates: a process that has imported the handler, and is forked for every instance.

After the import and the hooks before a snapshot a template says whether it can be forked at all ([`unfit`]), and waits
at a socket. For each word there it forks a child, which takes what the keeper sends, stops at its gate to be moved into
a sandbox of its own, and forks once more: that process is the instance. It comes out of [`serve`], closes what it shares
with the template, draws fresh randomness and goes on as an interpreter does that waited for its code.

What a fork copies is memory. So a process that holds more than that is not fit: threads, other processes, files in /tmp,
memory that is shared, pipes and the like. Files that are open for reading are opened anew, and sockets are closed at
their other end, as after a restore on AWS: whoever used one notices, and connects again.
"""

import os
import stat
import sys
from _socket import CMSG_LEN, SCM_RIGHTS, SOL_SOCKET, socket, socketpair

# Says to the keeper that this process stands where it can be moved. The same number is in the launcher's seccomp.rs.
_GATE = 0x6D666C79
_NAMESPACES = 6
_BITS_OF_A_DESCRIPTOR = 10
_HARMLESS = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")


def run_before_snapshot():
    hooks = sys.modules.get("snapshot_restore_py")
    for func, args, kwargs in reversed(hooks.get_before_snapshot() if hooks else []):
        func(*args, **kwargs)


def run_after_restore():
    hooks = sys.modules.get("snapshot_restore_py")
    for func, args, kwargs in hooks.get_after_restore() if hooks else []:
        func(*args, **kwargs)


class Template:
    """This process, from when its handler is imported."""

    def __init__(self, number):
        self._commands = socket(fileno=number)
        self._number = number
        self._sockets = []
        self._files = []

    def unfit(self):
        """Why this process cannot be forked, in words; nothing if it can."""
        return self._threads() or self._others() or self._memory() or self._descriptors()

    def serve(self):
        """Forks whenever it is told to. Comes back in an instance, and never in the template."""
        import gc

        # What lives now lives for ever: the collector has no business with it, and each page that it touched in an
        # instance would be a copy.
        gc.collect()
        gc.freeze()
        self._commands.send(b"r")
        while True:
            word = self._commands.recv(1)
            if not word:
                os._exit(0)
            if word != b"f":
                continue
            pid = os.fork()
            if pid == 0:
                break
            os.waitpid(pid, 0)
        self._move()

    def _move(self):
        _, messages, _, _ = self._commands.recvmsg(8, CMSG_LEN(4 * (_NAMESPACES + 1)))
        descriptors = []
        for level, kind, data in messages:
            if (level, kind) == (SOL_SOCKET, SCM_RIGHTS):
                descriptors += memoryview(data).cast("i").tolist()
        log = descriptors[_NAMESPACES]
        os.dup2(log, 1)
        os.dup2(log, 2)
        packed = 0
        for place, descriptor in enumerate(descriptors[:_NAMESPACES]):
            packed |= descriptor << place * _BITS_OF_A_DESCRIPTOR
        try:
            os.posix_fadvise(0, packed, 0, _GATE)
        except OSError:
            os._exit(1)
        if os.fork():
            os._exit(0)
        for descriptor in descriptors:
            os.close(descriptor)
        self._commands.close()
        os.setsid()
        self._reopen()
        _draw_afresh()

    def _threads(self):
        threading = sys.modules.get("threading")
        if threading and threading.active_count() > 1:
            names = ", ".join(thread.name for thread in threading.enumerate()[1:])
            return "the module code has started threads: %s" % names
        if len(os.listdir("/proc/self/task")) > 1:
            # Libraries that prepare for a fork end their threads for it, and start them again at need.
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
        if len(os.listdir("/proc/self/task")) > 1:
            return "a library has started threads that do not end for a fork"
        return None

    def _others(self):
        known = ("1", str(os.getpid()))
        if [name for name in os.listdir("/proc") if name.isdigit() and name not in known]:
            return "the module code has started other processes"
        if os.listdir("/tmp"):
            return "the module code has left files in /tmp"
        return None

    def _memory(self):
        with open("/proc/self/maps") as maps:
            for line in maps:
                kind = line.split(" ", 2)[1]
                if kind[1] == "w" and kind[3] == "s":
                    return "the module code holds memory that is shared with other processes"
        return None

    def _descriptors(self):
        for name in os.listdir("/proc/self/fd"):
            number = int(name)
            if number in (0, 1, 2, self._number):
                continue
            try:
                path = os.readlink("/proc/self/fd/" + name)
            except OSError:
                continue  # The listing's own.
            if path.startswith("socket:"):
                self._sockets.append(number)
            elif path not in _HARMLESS:
                if not _is_read_only_file(number, path):
                    return "the module code has opened %s" % path
                self._files.append(number)
        return None

    def _reopen(self):
        for number in self._files:
            place = os.lseek(number, 0, os.SEEK_CUR)
            again = os.open("/proc/self/fd/%d" % number, os.O_RDONLY)
            os.lseek(again, place, os.SEEK_SET)
            os.dup2(again, number, os.get_inheritable(number))
            os.close(again)
        if self._sockets:
            dead, other = socketpair()
            other.close()
            for number in self._sockets:
                os.dup2(dead.fileno(), number, os.get_inheritable(number))
            dead.close()


def _is_read_only_file(number, path):
    with open("/proc/self/fdinfo/%d" % number) as info:
        flags = int(dict(line.split(":", 1) for line in info if ":" in line)["flags"], 8)
    regular = stat.S_ISREG(os.fstat(number).st_mode)
    return regular and flags & os.O_ACCMODE == os.O_RDONLY and path.startswith("/") and os.path.exists(path)


def _draw_afresh():
    """Python itself draws a new seed for `random` in every child. What comes from the system is fresh anyway."""
    ssl = sys.modules.get("_ssl")
    if ssl:
        # OpenSSL notices a fork by its process id, which is another one; this is for what does not.
        ssl.RAND_add(os.urandom(32), 32.0)
    numpy = sys.modules.get("numpy.random")
    if numpy:
        numpy.seed()
