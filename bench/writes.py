"""Durable writes: signed PutObject of 100 bytes, each its own object, beside bare syncs of the same disk."""

import clients
import machine
import mayfly
from table import p50, p99, rate, timed, us

#: What one small put appends to the log, roughly: row, listing entry, version.
RECORD = 600
BODY = b"x" * 100


def measure(table):
    with mayfly.server() as running:
        running.client("s3").create_bucket(Bucket="bench")
        caller = clients.Caller(running)
        sync = p50(machine.fsync(running.data))
        read = caller.prepare("s3", "GET", "/bench?location=")
        alone = timed(lambda _: caller.send(read), 500)
        puts = [timed(lambda _: caller.send(put), 1)[0]
                for put in (caller.prepare("s3", "PUT", f"/bench/one-{n}", BODY) for n in range(1000))]
        floor = p50(alone) + sync
        table.row("durable PutObject of 100 B, 1 client, p50", us(p50(puts)),
                  floor=f"GetBucketLocation {us(p50(alone))} + fsync {us(sync)}", ratio=p50(puts) / floor,
                  target="1 fsync", met=p50(puts) <= 1.25 * floor)
        table.row("the same, p99", us(p99(puts)), floor=f"GetBucketLocation p99 {us(p99(alone))}")
        reads = clients.signed(running, 64, "s3", "GET", "/bench?location=")
        table.row("GetBucketLocation, 64 clients", f"{rate(reads.per_second)}, {rate(reads.per_cpu_second)[:-3]} /cpu-s")
        for writers in (64, 1000):
            many(table, running, writers, reads)


def many(table, running, writers, reads):
    grouped = writers / p50(machine.fsync(running.data, 200, writers * RECORD)) * 1e6
    load = clients.signed(running, writers, "s3", "PUT", f"/bench/of-{writers}-@", BODY)
    failed = f", {load.failed} failed" if load.failed else ""
    table.row(f"durable PutObject of 100 B, {writers:,} clients",
              f"{rate(load.per_second)}, p50 {us(load.p50)}, p99 {us(load.p99)}{failed}",
              floor=f"{writers:,} records a sync: {rate(grouped)}", ratio=load.per_second / grouped,
              target="tens of thousands /s", met=load.per_second >= 10_000 and not load.failed)
    table.row("the same for each second of processor time", f"{rate(load.per_cpu_second)[:-3]} /cpu-s",
              floor=f"GetBucketLocation {rate(reads.per_cpu_second)[:-3]} /cpu-s",
              ratio=load.per_cpu_second / reads.per_cpu_second)
