#!/usr/bin/env python3
"""Runs what infra/insights/README.md prints, as it is printed.

    queries.py [--tables DIR] [--azurite CONNECTION] [--spark]

The questions with DuckDB, the pandas texts in their order, and battery health by both, which must agree. Tables are made where
none are given; of those every question must have an answer. `--azurite` asks the container `delivery-insights` of a storage
account once more; `--spark` asks Spark in local mode. Ends with 0, with 1 where a text fails, with 2 where a package is missing.
"""

import argparse
import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
INSIGHTS = HERE.parent.parent / "infra" / "insights"
MARK = re.compile(r"(?:--|#) ([a-z-]+)\n")


def missing(what):
    print(f"{what} is missing: pip install -r {HERE / 'requirements.txt'}", file=sys.stderr)
    sys.exit(2)


try:
    import duckdb
    import pandas  # noqa: F401
    import pyarrow  # noqa: F401
except ImportError as error:
    missing(error.name)


def blocks(language):
    """The texts of the page in one language: what stands before each, its mark where it has one, and the text."""
    page = (INSIGHTS / "README.md").read_text()
    found = []
    for match in re.finditer(r"\n\n((?:[^\n]+\n)+)\n```" + language + r"\n(.*?)```", page, re.DOTALL):
        title = re.split(r"[:,.]", match[1].replace("\n", " "))[0]
        mark = MARK.match(match[2])
        found.append((title, mark[1] if mark else None, match[2]))
    return found


def questions():
    return [(title, mark, text) for title, mark, text in blocks("sql") if mark not in ("azure", "azurite")]


class Run:
    def __init__(self, must_answer):
        self.must_answer, self.failed = must_answer, 0

    def of(self, engine, title, run):
        try:
            rows = run()
        except Exception as error:
            self.fail(engine, title, f"{type(error).__name__}: {str(error)[:500]}")
            return None
        if rows is not None and len(rows) == 0 and self.must_answer:
            self.fail(engine, title, "no rows")
        else:
            print(f"ok    {engine}: {title}" + (f" ({len(rows)} rows)" if rows is not None else ""))
        return rows

    def fail(self, engine, title, why):
        self.failed += 1
        print(f"FAIL  {engine}: {title}: {why}")


def with_duckdb(run, engine, begin=lambda connection: None):
    connection = duckdb.connect()
    begin(connection)
    connection.execute((INSIGHTS / "views.sql").read_text())
    health = None
    for title, mark, text in questions():
        rows = run.of(engine, title, lambda: connection.execute(text).fetchall())
        if mark == "battery-health":
            health = rows
    return health


def with_pandas(run):
    names = {}
    for title, mark, text in blocks("python"):
        if mark is None:
            run.of("pandas", title, lambda: quietly(text, names))
    return names.get("health"), names


def quietly(text, names):
    """Without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        exec(text, names)


def agree(run, health, frame):
    """Two ways to battery health, of which neither knows the other."""
    if not health or frame is None:
        return run.fail("both", "battery health", "one of the two has no answer")
    of_duckdb = {(str(week)[:10], device): (count, *numbers) for week, device, count, *numbers in health}
    columns = ["week", "device_id", "count", "median", "against_own", "against_fleet"]
    of_pandas = {(str(week)[:10], device): numbers for week, device, *numbers in frame[columns].itertuples(index=False)}
    if of_duckdb.keys() != of_pandas.keys():
        return run.fail("both", "battery health", f"{len(of_duckdb)} and {len(of_pandas)} rows")
    for key, numbers in of_duckdb.items():
        if any(abs(one - other) > 1e-9 * abs(one) for one, other in zip(numbers, of_pandas[key])):
            return run.fail("both", "battery health", f"{key}: {numbers} and {of_pandas[key]}")
    print(f"ok    both: battery health, {len(of_duckdb)} rows")


def with_azurite(run, text, names):
    parts = dict(part.split("=", 1) for part in text.strip(";").split(";"))

    def begin(connection):
        try:
            import duckdb_extension_azure

            folder = Path(duckdb_extension_azure.__file__).parent / "extensions" / f"v{duckdb.__version__}"
            connection.execute(f"INSTALL '{folder / 'azure.duckdb_extension'}'")
        except ImportError:
            connection.execute("INSTALL azure")  # from DuckDB's own repository
        connection.execute("LOAD azure")
        [secret] = [block for _, mark, block in blocks("sql") if mark == "azurite"]
        connection.execute(secret.replace("CONNECTION'", f"{text}'"))

    with_duckdb(run, "duckdb, azurite", begin)
    address = re.sub(r"^https?://|/.*$", "", parts["BlobEndpoint"])
    made = (
        f"AzureFileSystem({parts['AccountName']!r}, account_key={parts['AccountKey']!r}, blob_storage_authority={address!r}, "
        f"dfs_storage_authority={address!r}, blob_storage_scheme='http', dfs_storage_scheme='http')"
    )
    for title, mark, block in blocks("python"):
        if mark == "azure":
            run.of("pyarrow, azurite", title, lambda: quietly(block.replace('AzureFileSystem("ACCOUNT")', made), names))


def with_spark(run, root):
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        missing("pyspark")
    local = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    local = local.config("spark.sql.shuffle.partitions", "2").config("spark.driver.bindAddress", "127.0.0.1")
    spark = local.config("spark.driver.host", "127.0.0.1").config("spark.ui.showConsoleProgress", "false").getOrCreate()
    views = (INSIGHTS / "spark-views.sql").read_text().replace("Files/delivery-insights", str(root))
    for statement in re.sub(r"^--.*$", "", views, flags=re.MULTILINE).split(";"):
        if statement.strip():
            spark.sql(statement)
    for title, _, text in questions():
        run.of("spark", title, lambda: spark.sql(text.rstrip().rstrip(";")).collect())
    spark.stop()


def make_tables(folder):
    archive, root = Path(folder, "archive"), Path(folder, "tables")
    for script, arguments in (
        ("generate.py", ["--out", archive, "--drones", "6", "--hours", "3"]),
        ("reference.py", ["--archive", archive, "--write", root]),
    ):
        subprocess.run([sys.executable, HERE / script, *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return root


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tables", type=Path, metavar="DIR", help="tables to ask; made where none are given")
    parser.add_argument("--azurite", metavar="CONNECTION", help="a connection string of an account with the container")
    parser.add_argument("--spark", action="store_true", help="ask Spark too")
    options = parser.parse_args()
    if options.tables and not options.tables.is_dir():
        parser.error(f"{options.tables} is no folder")
    run = Run(must_answer=options.tables is None)
    with tempfile.TemporaryDirectory() as folder:
        root = (options.tables or make_tables(folder)).resolve()
        os.chdir(root)
        health = with_duckdb(run, "duckdb")
        frame, names = with_pandas(run)
        agree(run, health, frame)
        if options.azurite:
            with_azurite(run, options.azurite, names)
        if options.spark:
            with_spark(run, root)
        os.chdir(HERE)
    print(f"{run.failed or 'none'} of the texts failed")
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())
