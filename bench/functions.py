"""Functions in processes: what an invocation costs when an instance is warm."""

import contextlib
import socket
import subprocess
import sys

import clients
import mayfly
from table import p50, p99, timed, us

NOTHING = "def handler(event, context):\n    return 1\n"
# In turns of so many calls each, so that the same noise falls on all.
ROUNDS, CALLS = 10, 100
# What no invocation of another process can do without: it is sent some bytes, and sends some back.
BARE = """
import socket
with socket.create_server(("127.0.0.1", 0)) as listener:
    print(listener.getsockname()[1], flush=True)
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while connection.recv(65536):
        connection.sendall(bytes(219))
"""


def measure(table):
    with mayfly.server() as running, bare_process() as echo:
        functions = running.client("lambda")
        # One processor's share (1,769 MiB): with less, what is measured is how long the share makes it wait.
        mayfly.create(functions, "nothing", {"app.py": NOTHING}, MemorySize=1769)
        caller = clients.Caller(running)
        settings = caller.prepare("lambda", "GET", "/2016-08-19/account-settings")
        call = caller.prepare("lambda", "POST", "/2015-03-31/functions/nothing/invocations", b"1")

        def bare(_):
            echo.sendall(bytes(313))
            echo.recv(65536)

        reads, warm, trips = [], [], []
        for number in range(-1, ROUNDS):
            for times, what in ((reads, lambda _: caller.send(settings)), (warm, lambda _: caller.send(call)), (trips, bare)):
                some = timed(what, CALLS)
                times += some if number >= 0 else []
        over, trip = p50(warm) - p50(reads), p50(trips)
        table.row(
            "warm Invoke of Python, p50",
            us(p50(warm)),
            floor=f"GetAccountSettings {us(p50(reads))}",
            ratio=p50(warm) / p50(reads),
        )
        table.row("the same, p99", us(p99(warm)), floor=f"GetAccountSettings p99 {us(p99(reads))}")
        table.row(
            "warm Invoke beyond a read call, p50",
            us(over),
            floor=f"bytes to a bare Python process and back {us(trip)}",
            ratio=over / trip,
            target="150 us",
            met=over <= 150,
        )
        table.row("the same beyond those bytes", us(over - trip))


@contextlib.contextmanager
def bare_process():
    """A connection to a process that answers whatever it is sent."""
    with subprocess.Popen([sys.executable, "-c", BARE], stdout=subprocess.PIPE, text=True) as process:
        with socket.create_connection(("127.0.0.1", int(process.stdout.readline()))) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection
