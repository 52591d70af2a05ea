#!/usr/bin/env python3
"""The insights' tables once more, from the archive's files alone, by handlers/INSIGHTS.md and with none of the project's code.

    reference.py --archive DIR --tables DIR   compares; ends with 1 and the first differences where there are any
    reference.py --archive DIR --write DIR    writes its own tables

DIR holds what the containers `telemetry-archive` and `delivery-insights` hold. Ends with 2 where it cannot begin.

Columns are compared in value, type, nullability and order, rows in order; numbers to 1e-9 of themselves. What depends on
the clock is not looked at from a clock: every unit is taken for sealed, and `asOf` is taken from each fleet.json.
"""

import argparse
import datetime
import json
import sys
from pathlib import Path

try:
    import archive
    import facts
    import fleet
    import tables
    import telemetry
except ImportError as error:
    print(f"{error.name} is missing: pip install -r {Path(__file__).parent / 'requirements.txt'}", file=sys.stderr)
    sys.exit(2)


class Reference:
    """Everything that follows from an archive."""

    def __init__(self, root, intake=telemetry.Intake(), warn=lambda text: None):
        self.units = archive.read(root, intake, warn)
        self.deliveries, self.drone_hours = {}, {}
        for log in {unit.log for unit in self.units}:
            units = [unit for unit in self.units if unit.log == log]
            self.deliveries[log] = facts.deliveries(facts.delivery_parts(units))
            self.drone_hours[log] = facts.drone_hours(units)

    def files(self):
        """By (table, path) the rows, but for the fleet's."""
        files = {}
        for unit in self.units:
            day, hour = facts.hour_name(unit.hour).split("T")
            path = f"date={day}/hour={hour}/{unit.hub}-{unit.partition}.parquet"
            for kind, names in (("flight", FLIGHT), ("operating", OPERATING)):
                files[kind, f"{kind}/{path}"] = [row_of(reading, names) for reading in unit.readings if reading.kind == kind]
            files["cells", f"cells/{path}"] = [
                {"cell": cell, "micros": micros} for cell, micros in sorted(fleet.cells(unit).items())
            ]
            rejects = sorted(unit.rejects.items(), key=lambda item: (item[0][0], item[0][1] or ""))
            files["rejects", f"rejects/{path}"] = [
                {"reason": reason, "device_id": device, "count": count, "sequence_number": least}
                for (reason, device), (count, least) in rejects
            ]
        for table, rows_of, time in (
            ("deliveries", self.deliveries, "day"),
            ("drone_hours", self.drone_hours, "hour"),
        ):
            for (hub, partition), rows in rows_of.items():
                for row in rows:
                    path = f"{table}/date={facts.iso(row[time])[:10]}/{hub}-{partition}.parquet"
                    files.setdefault((table, path), []).append(row)
        return files

    def dates(self):
        times = [unit.hour for unit in self.units]
        times += [row["hour"] for rows in self.drone_hours.values() for row in rows]
        times += [row[name] for rows in self.deliveries.values() for row in rows for name in ("first_at", "ended_at")]
        return sorted({time // archive.DAY * archive.DAY for time in times})

    def as_of(self):
        """The end of the last hour of which anything is known."""
        return max(unit.hour for unit in self.units) + archive.HOUR

    def fleet(self, date, as_of):
        deliveries = [row for rows in self.deliveries.values() for row in rows]
        drone_hours = [row for rows in self.drone_hours.values() for row in rows]
        return fleet.fleet(date, self.units, deliveries, drone_hours, as_of)


FLIGHT = ["latitude", "longitude", "altitude", "velocity", "acceleration", "status"]
OPERATING = ["temperature", "battery_level", "battery_status"]


def row_of(reading, names):
    return {
        "device_id": reading.device_id,
        "delivery_id": reading.delivery_id,
        "occurred_at": reading.occurred_at,
        "enqueued_at": reading.enqueued_at,
        "sequence_number": reading.sequence_number,
        "replayed": reading.replayed,
        **dict(zip(names, reading.values)),
    }


def fleet_rows(figures):
    as_of = time_of(figures["asOf"])
    return [{**fleet.flat(hour), "hour": time_of(hour["hour"]), "as_of": as_of} for hour in figures["hours"]]


def time_of(text):
    at = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    return round(at.timestamp()) * archive.SECOND


def write(reference, root):
    tables.write(root, reference.files(), lambda table, rows: tables.schema(table))
    for date in reference.dates():
        figures = reference.fleet(date, reference.as_of())
        folder = f"fleet_hours/date={figures['date']}"
        rows = fleet_rows(figures)
        schema = tables.fleet_schema(rows[0]) if rows else None
        if schema:
            schema = tables.fleet_schema(types_of(rows))
            tables.write(root, {("fleet_hours", f"{folder}/fleet.parquet"): rows}, lambda table, rows: schema)
        Path(root, folder).mkdir(parents=True, exist_ok=True)
        Path(root, folder, "fleet.json").write_text(json.dumps(figures, indent=1))


def types_of(rows):
    """For each column a value that is not null, where there is one."""
    return {name: next((row[name] for row in rows if row[name] is not None), None) for name in rows[0]}


def compare(reference, root, shown):
    differences = tables.Differences(shown)
    expected = reference.files()
    for table in tables.COLUMNS:
        of_table = {path: rows for (name, path), rows in expected.items() if name == table}
        found = {path.relative_to(root).as_posix() for path in Path(root, table).rglob("*.parquet")}
        for path in sorted(found | of_table.keys()):
            wanted = of_table.get(path, [])
            if path not in found:
                if wanted:
                    differences.add(f"{path}: is missing, with {len(wanted)} rows")
                continue
            rows, schema = tables.read(Path(root, path))
            tables.compare_schema(path, tables.schema(table), schema, differences)
            tables.compare_rows(path, table, wanted, rows, differences)
    for date in reference.dates():
        compare_fleet(reference, Path(root), date, differences)
    return differences.count


def compare_fleet(reference, root, date, differences):
    folder = f"fleet_hours/date={facts.iso(date)[:10]}"
    path = root / folder / "fleet.json"
    if not path.is_file():
        return differences.add(f"{folder}/fleet.json: is missing")
    found = json.loads(path.read_text())
    figures = reference.fleet(date, time_of(found["asOf"] or "1970-01-01T00:00:00Z"))
    # By hours, so that one that is missing does not shift the others.
    by_hour = [{**each, "hours": {hour["hour"]: hour for hour in each["hours"]}} for each in (figures, found)]
    tables.compare_json(f"{folder}/fleet.json", *[{**each, "asOf": None} for each in by_hour], differences)
    path = root / folder / "fleet.parquet"
    if not path.is_file():
        return differences.add(f"{folder}/fleet.parquet: is missing")
    wanted = fleet_rows(figures)
    if found["asOf"] is None:
        wanted = [row | {"as_of": None} for row in wanted]
    rows, schema = tables.read(path)
    if wanted:
        names = set(wanted[0])
        if names != set(schema.names):
            missing, strange = sorted(names - set(schema.names)), sorted(set(schema.names) - names)
            differences.add(f"{folder}/fleet.parquet: columns missing {missing}, unknown {strange}")
    tables.compare_rows(f"{folder}/fleet.parquet", "fleet_hours", wanted, rows, differences)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True, metavar="DIR", help="the archive's files: <hub>/<partition>/…")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--tables", type=Path, metavar="DIR", help="tables to compare with")
    what.add_argument("--write", type=Path, metavar="DIR", help="where to write tables")
    parser.add_argument("--shown", type=int, default=20, metavar="N", help="how many differences are printed (20)")
    parser.add_argument("--earliest", default="2010-01-01T00:00:00Z", metavar="TIME", help="the setting EarliestOccurrence")
    parser.add_argument("--device-required", action="store_true", help="the setting RequireAuthenticatedDevice")
    options = parser.parse_args()
    for folder in (options.archive, options.tables):
        if folder is not None and not folder.is_dir():
            parser.error(f"{folder} is no folder")
    earliest = None if options.earliest == "off" else telemetry.iso_time_of(options.earliest)
    if earliest is None and options.earliest != "off":
        parser.error("--earliest must be a time such as 2010-01-01T00:00:00Z, or off")
    intake = telemetry.Intake(earliest, options.device_required)
    reference = Reference(options.archive, intake, lambda text: print(text, file=sys.stderr))
    if not reference.units:
        parser.error(f"{options.archive} holds no archive: <hub>/<partition>/<yyyy>/<MM>/<dd>/<HH>/*.avro")
    rows = sum(len(rows) for rows in reference.files().values())
    if options.write:
        write(reference, options.write)
        print(f"{len(reference.units)} units, {rows} rows written")
        return 0
    count = compare(reference, options.tables, options.shown)
    print(f"{len(reference.units)} units, {rows} rows, {count or 'no'} differences")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
