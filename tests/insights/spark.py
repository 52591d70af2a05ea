#!/usr/bin/env python3
"""infra/spark/insights.py in local mode, held against the reference.

    spark.py [--archive DIR] [--tables DIR]

Makes a small archive where none is given, runs `from-avro` over it, and compares every delivery, hour of a drone, hour and day
of the fleet with the reference; then copies tables with `to-delta --format parquet`, twice, and compares those. With Delta
Lake there as well, that too. Ends with 0, with 1 where anything differs, and with 2 where Java or a package is missing.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
PROGRAM = HERE.parent.parent / "infra" / "spark" / "insights.py"


def missing(what):
    print(f"{what} is missing; Spark needs Java 17 and pip install -r {HERE / 'requirements.txt'}", file=sys.stderr)
    sys.exit(2)


try:
    import pyarrow.dataset
    import pyspark  # noqa: F401

    import reference
    import tables
except ImportError as error:
    missing(error.name)

# Small data in one process: what a cluster needs, compiled plans among it, would only take time.
LOCAL = [
    "--master", "local[2]", "--driver-memory", "2g",
    "--conf", "spark.ui.enabled=false", "--conf", "spark.ui.showConsoleProgress=false",
    "--conf", "spark.sql.shuffle.partitions=4", "--conf", "spark.driver.host=127.0.0.1",
    "--conf", "spark.driver.bindAddress=127.0.0.1",
    "--conf", "spark.sql.codegen.wholeStage=false", "--conf", "spark.sql.codegen.factoryMode=NO_CODEGEN",
]


def spark(*arguments):
    environment = os.environ | {
        "PYSPARK_SUBMIT_ARGS": " ".join([*LOCAL, "pyspark-shell"]),
        "PYSPARK_PYTHON": sys.executable, "PYSPARK_DRIVER_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1",
    }
    run = subprocess.run([sys.executable, PROGRAM, *map(str, arguments)], env=environment, capture_output=True, text=True)
    if run.returncode not in (0, 2):
        print(run.stdout[-2_000:], run.stderr[-4_000:], sep="\n")
    return run


def rows_of(root, table):
    """By date the rows of a partitioned table, times as microseconds."""
    rows = defaultdict(list)
    for path in sorted(Path(root, table).rglob("*.parquet")):
        date = next(part[5:] for part in path.parts if part.startswith("date="))
        rows[date] += tables.read(path)[0]
    return rows


def compare(found, expected, differences):
    """`expected` is a Reference, `found` the folder that Spark wrote."""
    for table, by_log, time in (
        ("deliveries", expected.deliveries, "day"),
        ("drone_hours", expected.drone_hours, "hour"),
    ):
        wanted = defaultdict(list)
        for (hub, partition), rows in by_log.items():
            for row in rows:
                wanted[reference.facts.iso(row[time])[:10]].append(row | {"hub": hub, "partition": partition})
        written = rows_of(found, table)
        for date in sorted(wanted.keys() | written.keys()):
            ordered = [
                sorted(rows.get(date, []), key=lambda row: tuple(row[name] for name in ("partition", *tables.KEYS[table])))
                for rows in (wanted, written)
            ]
            tables.compare_rows(f"{table} {date}", table, *ordered, differences)
    hours = rows_of(found, "fleet_hours")
    for date in expected.dates():
        figures = expected.fleet(date, expected.as_of())
        texts = list(Path(found, "fleet", f"date={figures['date']}").glob("*.txt"))
        if len(texts) != 1:
            differences.add(f"fleet {figures['date']}: {len(texts)} files")
            continue
        tables.compare_json(f"fleet {figures['date']}", figures, json.loads(texts[0].read_text()), differences)
        wanted = reference.fleet_rows(figures)
        tables.compare_rows(f"fleet_hours {figures['date']}", "fleet_hours", wanted, hours[figures["date"]], differences)


def compare_copies(root, copies, differences):
    for table in ("flight", "operating", "rejects", "cells", "deliveries", "drone_hours", "fleet_hours"):
        wanted, found = (pyarrow.dataset.dataset(sorted(map(str, Path(folder, table).rglob("*.parquet")))).count_rows() for folder in (root, copies))
        if wanted != found:
            differences.add(f"{table}: {found} rows were copied, not {wanted}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, metavar="DIR", help="an archive; made where none is given")
    parser.add_argument("--tables", type=Path, metavar="DIR", help="tables to copy; the reference's where none are given")
    options = parser.parse_args()
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        missing("Java")
    differences = tables.Differences()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        archive = options.archive or root / "archive"
        if options.archive is None:
            generate = [sys.executable, HERE / "generate.py", "--out", archive, "--drones", "3", "--hours", "2", "--seed", "3"]
            subprocess.run(generate, check=True, stdout=subprocess.DEVNULL)
        expected = reference.Reference(archive)
        if spark("from-avro", "--archive", archive, "--out", root / "spark").returncode:
            return 1
        compare(root / "spark", expected, differences)
        print(f"from-avro: {len(expected.units)} units, {differences.count or 'no'} differences")

        before, source = differences.count, options.tables or root / "tables"
        if options.tables is None:
            reference.write(expected, source)
        for _ in range(2):
            if spark("to-delta", "--tables", source, "--out", root / "copies", "--format", "parquet").returncode:
                return 1
        compare_copies(source, root / "copies", differences)
        print(f"to-delta --format parquet: {differences.count - before or 'no'} differences")

        delta = spark("to-delta", "--tables", source, "--out", root / "delta")
        if delta.returncode == 2:
            print("to-delta: skipped, Delta Lake is not there")
        elif delta.returncode:
            return 1
        else:
            print("to-delta: written")
    return 1 if differences.count else 0


if __name__ == "__main__":
    sys.exit(main())
