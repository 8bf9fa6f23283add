#!/usr/bin/env python3
"""Measures a release build beside its floors, in one run, and writes bench/results.md.

    bench/run.py MAYFLY_BINARY [--keep] [FAMILY ...]

Every row is a ratio to something bare on the same machine in the same minute, because machines differ and are
noisy; rates are also given for each second of processor time that the server used, because clients share its
processors. A family is a file beside this one with `measure(table)`; naming some runs those alone and leaves
the results as they are, but for their own parts with `--keep`.
"""

import os
import pathlib
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "conformance")]
FAMILIES = ["startup", "gateway", "writes", "functions", "cold_starts", "compiled_ahead", "events", "queues",
            "scaling", "growth"]
# Minutes of loading, so only when they are named: `waiting` (ten million messages), `schedules` (a million).


def main():
    binary, *chosen = sys.argv[1:]
    keep = "--keep" in chosen
    chosen = [name for name in chosen if name != "--keep"]
    os.environ["MAYFLY"] = str(pathlib.Path(binary).resolve())
    # The families start servers by MAYFLY, so they are imported only now.
    import table
    import tools

    tools.need("wrk", "wrk")
    began = time.monotonic()
    results = table.Table()
    for name in chosen or FAMILIES:
        family = __import__(name)
        results.begin(family.__doc__.splitlines()[0].rstrip("."))
        family.measure(results)
    seconds = time.monotonic() - began
    print(f"\n{seconds:.0f} s")
    file = HERE / "results.md"
    if not chosen:
        file.write_text(results.markdown(seconds))
    elif keep:
        file.write_text(results.merged(file.read_text(), seconds))


if __name__ == "__main__":
    main()
