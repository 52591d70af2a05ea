"""The tables as files: where they are, what their columns are, how they are written, read and compared."""

import json
import math
from pathlib import Path

import pyarrow
import pyarrow.parquet

TEXT, LONG, DOUBLE, TIME, FLAG = (
    pyarrow.string(), pyarrow.int64(), pyarrow.float64(), pyarrow.timestamp("us", tz="UTC"), pyarrow.bool_(),
)

READING = "device_id delivery_id occurred_at:time enqueued_at:time sequence_number:long replayed:flag"

COLUMNS = {
    "flight": READING + " latitude:double longitude:double altitude:double velocity:double acceleration:double status",
    "operating": READING + " temperature:double battery_level:double battery_status",
    "rejects": "reason device_id? count:long sequence_number:long",
    "cells": "cell micros:long",
    "deliveries": """
        device_id delivery_id first_at:time last_at:time departed_at?:time picked_up_at?:time dropped_off_at?:time
        arrived_at?:time departed_gap_s?:double picked_up_gap_s?:double dropped_off_gap_s?:double arrived_gap_s?:double
        ended_at:time outcome to_pick_up_s?:double loaded_s?:double return_s?:double delivery_s?:double
        distance_m:double chord_m:double jumps:long battery_used?:double
        pick_up_latitude?:double pick_up_longitude?:double pick_up_h3?
        drop_off_latitude?:double drop_off_longitude?:double drop_off_h3?
        flight_readings:long operating_readings:long max_gap_s?:double replayed:long
        first_hour:time last_hour:time sources complete:flag""",
    "drone_hours": """
        device_id hour:time departed_s:double in_flight_s:double picked_up_s:double dropped_off_s:double
        arrived_s:double unknown_s:double distance_m:double jumps:long battery_used:double battery_charged:double
        temperature_max?:double flight_readings:long operating_readings:long late:long sources complete:flag""",
}

# By what a row of one file is found in the other.
KEYS = {
    "flight": ["device_id", "occurred_at", "sequence_number", "enqueued_at"],
    "operating": ["device_id", "occurred_at", "sequence_number", "enqueued_at"],
    "rejects": ["reason", "device_id"],
    "cells": ["cell"],
    "deliveries": ["device_id", "delivery_id"],
    "drone_hours": ["device_id", "hour"],
    "fleet_hours": ["hour"],
}


def schema(table):
    types = {"": TEXT, "long": LONG, "double": DOUBLE, "time": TIME, "flag": FLAG}
    fields = []
    for column in COLUMNS[table].split():
        name, _, kind = column.partition(":")
        fields.append(pyarrow.field(name.rstrip("?"), types[kind], nullable=name.endswith("?")))
    return pyarrow.schema(fields)


def fleet_schema(row):
    """Figures are whole numbers by themselves or null where there is nothing to make them from."""
    def field(name, value):
        if name in ("hour", "as_of"):
            return pyarrow.field(name, TIME, nullable=name == "as_of")
        if name == "complete":
            return pyarrow.field(name, FLAG, nullable=False)
        return pyarrow.field(name, LONG if isinstance(value, int) else DOUBLE)

    return pyarrow.schema([field(name, value) for name, value in row.items()])


def write(root, files, schema_of):
    """`files`: by (table, path) a list of rows."""
    for (table, path), rows in files.items():
        target = Path(root) / path
        target.parent.mkdir(parents=True, exist_ok=True)
        made = pyarrow.Table.from_pylist(rows, schema=schema_of(table, rows))
        pyarrow.parquet.write_table(made, target, compression="gzip")


def read(path):
    """A file's rows, times as microseconds, and its schema."""
    # Not as a dataset: the folders' names would become columns.
    table = pyarrow.parquet.ParquetFile(path).read()
    columns = {}
    for field, column in zip(table.schema, table.columns):
        if pyarrow.types.is_timestamp(field.type):
            column = column.cast(pyarrow.timestamp("us", tz="UTC")).cast(LONG)
        columns[field.name] = column.to_pylist()
    return [dict(zip(columns, values)) for values in zip(*columns.values())], table.schema


class Differences:
    """What differs, of which the first few are printed."""

    def __init__(self, shown=20):
        self.count, self.shown = 0, shown

    def add(self, text):
        self.count += 1
        if self.count <= self.shown:
            print(text)
        elif self.count == self.shown + 1:
            print("...")


def equal(one, other):
    if isinstance(one, bool) or isinstance(other, bool) or one is None or other is None or isinstance(one, str):
        return one is other or one == other and type(one) is type(other)
    if isinstance(one, int) and isinstance(other, int):
        return one == other
    # What is left of sums of meters and shares that cancel each other out.
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-7)


def compare_rows(where, table, expected, found, differences):
    def key(row):
        return tuple(row.get(column) for column in KEYS[table])

    by_key = {key(row): row for row in found}
    wanted = {key(row) for row in expected}
    for row in expected:
        other = by_key.get(key(row))
        if other is None:
            differences.add(f"{where}: {show(key(row))} is missing")
            continue
        for column, value in row.items():
            if column not in other:
                continue  # The schema has said so once.
            if not equal(value, other[column]):
                differences.add(f"{where}: {show(key(row))}: {column} is {other[column]!r}, not {value!r}")
    for row in found:
        if key(row) not in wanted:
            differences.add(f"{where}: {show(key(row))} is too much")
    if len(found) != len(by_key):
        differences.add(f"{where}: rows with one key twice")
    common = [key(row) for row in expected if key(row) in by_key]
    if common != [key(row) for row in found if key(row) in wanted]:
        differences.add(f"{where}: the rows are not in order")


def show(key):
    return " ".join(str(part) for part in key)


def compare_schema(where, expected, found, differences):
    names = list(found.names)
    if names[: len(expected.names)] != list(expected.names):
        missing = [name for name in expected.names if name not in names]
        strange = [name for name in names if name not in expected.names]
        differences.add(f"{where}: columns missing {missing}, unknown {strange}, or in another order")
    for field in expected:
        if field.name not in names:
            continue
        other = found.field(field.name)
        if other.nullable != field.nullable:
            differences.add(f"{where}: {field.name} may {'' if other.nullable else 'not '}be null")
        for is_kind in (pyarrow.types.is_string, pyarrow.types.is_floating, pyarrow.types.is_boolean):
            if is_kind(field.type) != is_kind(other.type):
                differences.add(f"{where}: {field.name} is {other.type}, not {field.type}")
        if field.type == TIME and other.type != TIME:
            differences.add(f"{where}: {field.name} is {other.type}, not {field.type}")


def compare_json(where, expected, found, differences):
    """Objects by their names, lists by their places, numbers as in tables."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in expected.keys() | found.keys():
            if name not in found or name not in expected:
                differences.add(f"{where}.{name}: is {'missing' if name not in found else 'unknown'}")
            else:
                compare_json(f"{where}.{name}", expected[name], found[name], differences)
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            differences.add(f"{where}: {len(found)} entries, not {len(expected)}")
        for index, (one, other) in enumerate(zip(expected, found)):
            compare_json(f"{where}[{index}]", one, other, differences)
    elif isinstance(expected, (dict, list)) or isinstance(found, (dict, list)) or not equal(expected, found):
        differences.add(f"{where}: is {json.dumps(found)}, not {json.dumps(expected)}")
