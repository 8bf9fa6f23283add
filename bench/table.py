"""The table that `make bench` prints: one row for each thing measured, beside its floor and its target."""

import dataclasses
import datetime
import os
import statistics
import time


def p50(values):
    return statistics.median(values)


def p99(values):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]


def timed(what, count):
    """Microseconds of each call of `what(number)`."""
    return in_turns(count, what)[0]


def in_turns(count, *whats):
    """Microseconds of the calls of each, one of each at a time, so that the same noise falls on all."""
    took = [[] for _ in whats]
    for number in range(count):
        for what, times in zip(whats, took):
            began = time.perf_counter()
            what(number)
            times.append((time.perf_counter() - began) * 1e6)
    return took


def us(value):
    return f"{value:.0f} us" if value < 10_000 else f"{value / 1000:.1f} ms"


def ms(value):
    return f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def rate(value):
    return f"{value:,.0f} /s"


@dataclasses.dataclass
class Row:
    what: str
    measured: str
    floor: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None

    def cells(self):
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        met = {None: "", True: "yes", False: "**no**"}[self.met]
        return [self.what, self.measured, self.floor, ratio, self.target, met]


class Table:
    """Rows by family, printed as they come."""

    HEAD = ["what", "measured", "floor in the same run", "ratio", "target", "met"]

    def __init__(self):
        self.families = {}
        self.family = ""

    def begin(self, family):
        self.family = family
        self.families[family] = []
        print(f"\n{family}", flush=True)

    def row(self, what, measured, **more):
        """`floor` (text), `ratio` (ours to the floor), `target` (text) and `met` (a bool) are optional."""
        row = Row(what, measured, **more)
        self.families[self.family].append(row)
        cells = row.cells()
        print(
            f"  {cells[0]:<60}{cells[1]:>24}  {cells[2]:<44}{cells[3]:>7}  {cells[4]:<24}{cells[5]}",
            flush=True,
        )

    def about(self, what, seconds):
        today = datetime.date.today().isoformat()
        return (
            f"{what} on {today}, {seconds:.0f} s, {os.cpu_count()} processors, clients and server together. Load on "
            f"the machine: {os.getloadavg()[2]:.1f} over the last 15 minutes."
        )

    def part(self, family, about=()):
        rows = self.families[family]
        head = ["| " + " | ".join(self.HEAD) + " |", "|---" * len(self.HEAD) + "|"]
        return "\n".join([f"## {family}", "", *about, *head, *("| " + " | ".join(row.cells()) + " |" for row in rows)])

    def markdown(self, seconds):
        about = self.about("One run of `make bench`", seconds) + " Ratio: ours to the floor."
        return "\n\n".join(["# Measured", about, *map(self.part, self.families)]) + "\n"

    def merged(self, text, seconds):
        """The results so far with the families of this run in the place of what they were."""
        first, *parts = text.rstrip("\n").split("\n## ")
        parts = {part.split("\n", 1)[0]: f"## {part}".rstrip("\n") for part in parts}
        about = [self.about("A run by itself", seconds), ""]
        parts |= {family: self.part(family, about) for family in self.families}
        return "\n\n".join([first.rstrip("\n"), *parts.values()]) + "\n"
