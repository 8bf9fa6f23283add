"""Functions in processes: what an invocation costs when an instance is warm."""

import clients
import mayfly
from table import p50, p99, timed, us

NOTHING = "def handler(event, context):\n    return 1\n"


def measure(table):
    with mayfly.server() as running:
        functions = running.client("lambda")
        # One processor's share (1,769 MiB): with less, what is measured is how long the share makes it wait.
        mayfly.create(functions, "nothing", {"app.py": NOTHING}, MemorySize=1769)
        caller = clients.Caller(running)
        settings = caller.prepare("lambda", "GET", "/2016-08-19/account-settings")
        reads = timed(lambda _: caller.send(settings), 500)
        call = caller.prepare("lambda", "POST", "/2015-03-31/functions/nothing/invocations", b"1")
        caller.send(call)
        warm = timed(lambda _: caller.send(call), 1000)
        over = p50(warm) - p50(reads)
        table.row(
            "warm Invoke of Python, p50",
            us(p50(warm)),
            floor=f"GetAccountSettings {us(p50(reads))}",
            ratio=p50(warm) / p50(reads),
        )
        table.row("the same, p99", us(p99(warm)), floor=f"GetAccountSettings p99 {us(p99(reads))}")
        table.row("warm Invoke beyond a read call, p50", us(over), target="150 us", met=over <= 150)
