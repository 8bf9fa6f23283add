"""Durable writes: signed PutObject of 100 bytes, each its own object, beside bare syncs of the same disk."""

import clients
import machine
import mayfly
from table import in_turns, p50, p99, rate, timed, us

#: What one small put appends to the log, roughly: row, listing entry, version.
RECORD = 600
BODY = b"x" * 100


def measure(table):
    with mayfly.server() as running:
        running.client("s3").create_bucket(Bucket="bench")
        caller = clients.Caller(running)
        read = caller.prepare("s3", "GET", "/bench?location=")
        ready = [caller.prepare("s3", "PUT", f"/bench/one-{number}", BODY) for number in range(1000)]
        with machine.bare_sync(running.data) as sync:
            syncs, alone, puts = in_turns(
                len(ready), sync, lambda _: caller.send(read), lambda number: caller.send(ready[number])
            )
        floor = p50(alone) + p50(syncs)
        table.row(
            "durable PutObject of 100 B, 1 client, p50",
            us(p50(puts)),
            floor=f"GetBucketLocation {us(p50(alone))} + fsync {us(p50(syncs))}",
            ratio=p50(puts) / floor,
            target="1 fsync",
            met=p50(puts) <= 1.25 * floor,
        )
        table.row("the same, p99", us(p99(puts)), floor=f"GetBucketLocation p99 {us(p99(alone))}")
        reads = clients.signed(running, 64, "s3", "GET", "/bench?location=")
        table.row(
            "GetBucketLocation, 64 clients",
            f"{rate(reads.per_second)}, {rate(reads.per_cpu_second)[:-3]} /cpu-s",
        )
        for writers in (64, 1000):
            many(table, running, writers, reads)


def many(table, running, writers, reads):
    load = clients.signed(running, writers, "s3", "PUT", f"/bench/of-{writers}-@", BODY)
    with machine.bare_sync(running.data, writers * RECORD) as sync:
        grouped = writers / p50(timed(sync, 200)) * 1e6
    failed = f", {load.failed} failed" if load.failed else ""
    table.row(
        f"durable PutObject of 100 B, {writers:,} clients",
        f"{rate(load.per_second)}, p50 {us(load.p50)}, p99 {us(load.p99)}{failed}",
        floor=f"{writers:,} records a sync: {rate(grouped)}",
        ratio=load.per_second / grouped,
        target="tens of thousands /s",
        met=load.per_second >= 10_000 and not load.failed,
    )
    table.row(
        "the same for each second of processor time",
        f"{rate(load.per_cpu_second)[:-3]} /cpu-s",
        floor=f"GetBucketLocation {rate(reads.per_cpu_second)[:-3]} /cpu-s",
        ratio=load.per_cpu_second / reads.per_cpu_second,
    )
