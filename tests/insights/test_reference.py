#!/usr/bin/env python3
"""The reference held against what is known without it: the table of malformed bodies, a flight reckoned by hand, and the rules
that no order, no repetition and no other batches change a table.

    test_reference.py [-v]      ends with 0 or 1; with 2 where a package is missing
"""

import base64
import contextlib
import io
import json
import random
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

try:
    import fastavro

    import archive
    import generate
    import reference
    import tables
    import telemetry
except ImportError as error:
    print(f"{error.name} is missing: pip install -r {Path(__file__).parent / 'requirements.txt'}", file=sys.stderr)
    sys.exit(2)

HERE = Path(__file__).parent
FIXTURES = HERE.parent / "fixtures" / "telemetry"
NOON = telemetry.iso_time_of("2026-03-01T12:00:00Z") // 1_000


def body_of(row):
    if "body" in row:
        return row["body"].encode()
    if "bodyBase64" in row:
        return base64.b64decode(row["bodyBase64"])
    repeat = row["repeat"]
    return (repeat.get("prefix", "") + repeat["unit"] * repeat["count"] + repeat.get("suffix", "")).encode()


class Bodies(unittest.TestCase):
    AT = telemetry.iso_time_of("2026-01-01T00:00:00Z")

    def test_every_malformed_body_has_its_reason(self):
        rows = json.loads((FIXTURES / "malformed.json").read_text())
        self.assertGreater(len(rows), 60)
        for row in rows:
            with self.subTest(row["name"]), self.assertRaises(telemetry.Reject) as reject:
                telemetry.parse(body_of(row), self.AT, row.get("authenticatedDevice"))
            self.assertEqual(reject.exception.reason, row["reason"], row["name"])

    def test_the_samples_are_read(self):
        read = telemetry.parse((FIXTURES / "flight.json").read_bytes(), self.AT)
        self.assertEqual(read.values, (60.631945, -99.579919, 504.99, 58.08, 2.52, "inFlight"))
        read = telemetry.parse((FIXTURES / "status.json").read_bytes(), self.AT)
        self.assertEqual(read.values, (74.74, 0.25, "low"))

    def test_depth_has_no_limit_and_half_a_character_is_none(self):
        deep = b'{"note":' + b"[" * 50_000 + b"]" * 50_000 + b',"deviceId":"\\u0061"}'
        self.assertEqual(self.reject(deep), ("missing-field", "a"))
        self.assertEqual(self.reject(b'{"note":"\\ud800"}'), ("missing-field", None))
        self.assertEqual(self.reject(b'{"\\ud800":1}'), ("malformed-json", None))
        self.assertEqual(self.reject(b'{"note":{"\\ud800":1}}'), ("missing-field", None))
        self.assertEqual(self.reject(b'{"deviceId":"\\ud800"}'), ("invalid-field", None))

    def reject(self, body):
        with self.assertRaises(telemetry.Reject) as reject:
            telemetry.parse(body, self.AT)
        return reject.exception.reason, reject.exception.device_id

    def test_times(self):
        of = telemetry.time_of
        self.assertEqual(of("1970-01-01T01:00:00.1234567899+01:00"), 123_456_789)
        self.assertEqual(of("12/31/1969 23:00:01 -01:00"), 1_000_000_000)
        self.assertEqual(of("2016-12-31T23:59:60Z"), 1_483_228_800_000_000_000 - 1)
        for none in ("2016-12-30T23:59:60Z", "2023-02-29T00:00:00Z", "12/31/1969 23:00:01 Z", "2026-01-01T24:00:00Z", "2026-01-01"):
            self.assertIsNone(of(none), none)


class Archive:
    """Files made by hand."""

    def __init__(self, root):
        self.root, self.number = Path(root), 100

    def flight(self, second, latitude, status, **more):
        return self.event(second, "drone-event-sensor;v1", {
            "velocity": 1, "acceleration": 0, "position": f"{latitude}|8|20", "flightStatus": status}, **more)

    def operating(self, second, level, **more):
        return self.event(second, "drone-state-sensor;v1", {
            "temperature": 20 + level, "batteryLevel": level, "batteryStatus": "low"}, **more)

    def event(self, second, sensor, values, device="d", lag=1, replayed=None):
        """`lag` is that of the hub; `replayed` so many seconds after what was the hub's then."""
        self.number += 1
        head = {"deviceId": device, "deliveryId": "x", "sensorType": sensor,
                "occurrenceUtcTime": generate.iso(NOON + int(second * 1e6)) + "Z"}
        millis = NOON // 1_000 + round((second + lag) * 1_000)
        properties = {}
        if replayed is not None:
            properties["first-enqueued-at"] = generate.iso(millis * 1_000) + "Z"
            millis += replayed * 1_000
        return {"SequenceNumber": self.number, "Offset": "0", "EnqueuedTimeUtc": "",
                "SystemProperties": {"x-opt-enqueued-time": millis}, "Properties": properties,
                "Body": json.dumps(head | values).encode()}

    def store(self, records, hours_later=0, name="a"):
        begin = generate.iso(NOON + hours_later * archive.HOUR)
        folder = self.root / "hub" / "0" / begin[:4] / begin[5:7] / begin[8:10] / begin[11:13]
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / f"{name}.avro", "wb") as file:
            fastavro.writer(file, generate.SCHEMA, records)


class Facts(unittest.TestCase):
    def setUp(self):
        self.root = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.root)
        self.archive = Archive(self.root)

    def read(self):
        return reference.Reference(self.root)

    def test_a_flight_reckoned_by_hand(self):
        a = self.archive
        degree = 111_195.0802  # of a meridian, on a sphere of 6,371,008.8 m
        self.archive.store([
            a.flight(0, 0.0, 0), a.flight(5, 0.001, 0), a.flight(10, 0.002, 1), a.flight(40, 0.003, 2),
            a.flight(110, 0.004, 3),  # after 70 s: a chord, of which 30 s are believed
            a.flight(115, 0.1, 1),  # too far for 5 s
            a.flight(120, 0.101, 4),
            a.operating(1, 0.9), a.operating(20, 0.8), a.operating(119, 0.75), a.operating(121, 0.95),
        ])
        found = self.read()
        [row] = found.deliveries["hub", "0"]
        at = lambda second: NOON + second * 1_000_000
        for column, value in {
            "outcome": "delivered", "departed_at": at(0), "picked_up_at": at(40), "dropped_off_at": at(110),
            "arrived_at": at(120), "departed_gap_s": None, "picked_up_gap_s": 30, "dropped_off_gap_s": 70,
            "arrived_gap_s": 5, "ended_at": at(110), "to_pick_up_s": 40, "loaded_s": 70, "return_s": 10,
            "delivery_s": 110, "jumps": 1, "max_gap_s": 70, "flight_readings": 7, "operating_readings": 4,
            "first_at": at(0), "last_at": at(121), "sources": "2026-03-01T12", "complete": True,
            "pick_up_latitude": 0.003, "replayed": 0,
        }.items():
            self.assertEqual(row[column], value, column)
        self.assertAlmostEqual(row["distance_m"], 0.004 * degree, 3)
        self.assertAlmostEqual(row["chord_m"], 0.001 * degree, 3)
        self.assertAlmostEqual(row["battery_used"], 0.9 - 0.75)
        self.assertEqual(row["pick_up_h3"][:2], "89")
        [hour] = found.drone_hours["hub", "0"]
        for column, value in {
            "departed_s": 10, "in_flight_s": 35, "picked_up_s": 30, "dropped_off_s": 5, "arrived_s": 30,
            "unknown_s": 3_490, "jumps": 1, "temperature_max": 20.95, "late": 0,
        }.items():
            self.assertAlmostEqual(hour[column], value, 9, column)
        self.assertAlmostEqual(hour["distance_m"], 0.004 * degree, 3)
        self.assertAlmostEqual(hour["battery_used"], 0.15)
        self.assertAlmostEqual(hour["battery_charged"], 0.2)
        figures = found.fleet(NOON - 12 * archive.HOUR, found.as_of())
        self.assertEqual(figures["asOf"], "2026-03-01T13:00:00Z")
        self.assertEqual(figures["day"]["deliveries"], {
            "started": 1, "delivered": 1, "inferred": 0, "returned": 0, "open": 0, "lost": 0})
        self.assertEqual(figures["day"]["quality"]["lagP99"], 1.0)
        self.assertAlmostEqual(figures["day"]["utilisation"], 80 / 110)
        # In 120 s, both ends among them, and in the 120 s of the other kind.
        self.assertAlmostEqual(figures["day"]["quality"]["completeness"], 11 / (25 + 7))

    def test_outcomes(self):
        a = self.archive
        records = []
        for device, statuses in {
            "inferred": [2, 4], "returned": [0, 4], "open": [4, 2], "again": [4, 3, 4], "unseen": [4, 0, 2, 4], "gone": [4, 0, 2, 3],
        }.items():
            records += [a.flight(5 * n, 0, status, device=device) for n, status in enumerate(statuses)]
            records += [a.operating(5 * n, 0.9 - n / 10, device=device) for n in range(len(statuses))]
        a.store(records)
        rows = {row["device_id"]: row for row in self.read().deliveries["hub", "0"]}
        found = {device: (row["outcome"], (row["arrived_at"] - NOON) // 1_000_000) for device, row in rows.items()}
        self.assertEqual(found, {
            "inferred": ("inferred", 5), "returned": ("returned", 5), "open": ("open", 0), "again": ("delivered", 10),
            "unseen": ("inferred", 15), "gone": ("delivered", 0),
        })
        # Up to the arrival, which is not when it stood at the station before.
        self.assertAlmostEqual(rows["unseen"]["battery_used"], 0.2)
        self.assertIsNone(rows["gone"]["battery_used"])

    def test_a_replay_is_no_second_reading_and_of_what_was_lost_it_is_the_first(self):
        a = self.archive
        a.store([a.flight(0, 0, 0), a.flight(5, 0, 1)])
        a.store([a.flight(0, 0, 0, replayed=7_200), a.flight(10, 0, 1, replayed=7_200)], 2)
        found = self.read()
        [row] = found.deliveries["hub", "0"]
        self.assertEqual((row["flight_readings"], row["replayed"], row["sources"]), (3, 1, "2026-03-01T12 2026-03-01T14"))
        # Each folder's table has it, and the delivery once.
        self.assertEqual([len(unit.readings) for unit in found.units], [2, 2])

    def days(self):
        """Of the drone d, by the day that they lie under: how many flight readings and which folders rows have."""
        rows = [row for row in self.read().deliveries["hub", "0"] if row["device_id"] == "d"]
        return [(generate.iso(row["day"])[5:10], row["flight_readings"], row["sources"].replace("2026-", "")) for row in rows]

    def test_a_replay_of_weeks_ago_is_of_the_row_that_there_is(self):
        a, week = self.archive, 7 * 86_400
        a.store([a.flight(0, 0, 0), a.flight(5, 0, 1)])
        a.store([a.flight(0, 0, 0, replayed=week), a.flight(10, 0, 1, replayed=week)], 7 * 24)
        self.assertEqual(self.days(), [("03-01", 3, "03-01T12 03-08T12")])
        [hour] = self.read().drone_hours["hub", "0"]
        self.assertEqual((hour["flight_readings"], hour["in_flight_s"], hour["late"]), (3, 35, 0))

    def test_a_replay_of_more_than_30_days_ago_is_stale(self):
        a, month = self.archive, 30 * 86_400
        a.store([a.flight(-1, 0, 0), a.flight(5, 0, 1), a.flight(-1.001, 0, 1)])  # enqueued a second later
        a.store([a.flight(-1, 0, 3, replayed=month), a.flight(-1.001, 0, 4, replayed=month + 1)], 30 * 24)
        found = self.read()
        self.assertEqual([[reading.stale for reading in unit.readings] for unit in found.units], [[False] * 3, [True, False]])
        self.assertEqual(self.days(), [("03-01", 4, "03-01T12 03-31T12")])
        figures = found.fleet(NOON - 12 * archive.HOUR + month * archive.SECOND, found.as_of())
        self.assertEqual(figures["day"]["quality"]["stale"], 1)
        self.assertEqual(figures["hotSpots"]["flight"], [])

    def test_a_row_lies_under_the_day_on_which_its_first_reading_was_enqueued(self):
        a, day = self.archive, 86_400
        # Before and after midnight; only the replay is left of the first.
        a.store([a.flight(day // 2 + 5, 0, 1)], 12)
        a.store([a.flight(day // 2 - 5, 0, 0, replayed=9 * day)], 9 * 24 + 11)
        self.assertEqual(self.days(), [("03-01", 2, "03-02T00 03-10T23")])

    def test_what_is_silent_for_longer_than_four_days_is_two_rows_until_a_replay_has_both(self):
        a, day = self.archive, 86_400
        a.store([a.flight(0, 0, 0)])
        a.store([a.flight(5 * day, 0, 1)], 5 * 24)
        two = [("03-01", 1, "03-01T12"), ("03-06", 1, "03-06T12")]
        self.assertEqual(self.days(), two)
        a.store([a.flight(0, 0, 0, device="e", replayed=5 * day)], 5 * 24, name="b")  # another drone's brings nothing together
        self.assertEqual(self.days(), two)
        a.store([a.flight(0, 0, 0, replayed=6 * day), a.flight(5 * day, 0, 1, replayed=day)], 6 * 24)
        self.assertEqual(self.days(), [("03-01", 2, "03-01T12 03-06T12 03-07T12")])

    def test_a_row_is_made_of_twelve_folders_whatever_others_have(self):
        a = self.archive
        # The device sends it twice, the archive has the second; the last folder has a replay of the first, which is the least.
        a.store([a.flight(0, 0, 0, lag=10)])
        for hour in range(1, 12):
            a.store([a.flight(hour, 0, 1, lag=3_600 * hour)], hour)
        # Of the same drone and hour, under another delivery, whose row it is.
        other = a.flight(20, 0, 4, lag=12 * 3_600)
        other["Body"] = other["Body"].replace(b'"x"', b'"y"')
        a.store([a.flight(0, 0, 0, replayed=12 * 3_600), other], 12)
        self.assertEqual([(day, count, sources[-8:]) for day, count, sources in self.days()],
                         [("03-01", 12, "03-01T23"), ("03-02", 1, "03-02T00")])
        [row] = [row for row in self.read().deliveries["hub", "0"] if row["delivery_id"] == "x"]
        self.assertEqual((row["departed_at"], row["replayed"]), (NOON, 0))
        [hour] = self.read().drone_hours["hub", "0"]
        self.assertEqual((hour["flight_readings"], hour["sources"][-13:]), (12, "2026-03-01T23"))

    def test_a_span_ends_with_its_hour_and_goes_on_in_the_next(self):
        a = self.archive
        a.store([a.flight(3_590, 0, 1), a.flight(3_598, 0, 1), a.flight(3_603, 0, 4), a.flight(3_608, 0, 4)])
        before, after = self.read().drone_hours["hub", "0"]
        self.assertEqual((before["in_flight_s"], before["unknown_s"]), (10, 3_590))
        self.assertEqual((after["in_flight_s"], after["arrived_s"], after["unknown_s"]), (3, 35, 3_562))


class Sets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.root = Path(tempfile.mkdtemp())
        with contextlib.redirect_stdout(io.StringIO()):
            subprocess.run([sys.executable, HERE / "generate.py", "--out", cls.root / "archive", "--drones", "4", "--hours", "2",
                            "--seed", "7"], check=True, stdout=subprocess.DEVNULL)
        cls.first = reference.Reference(cls.root / "archive")
        reference.write(cls.first, cls.root / "tables")

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.root)

    def differences(self, found, folder="tables"):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            return reference.compare(found, self.root / folder, 5), printed.getvalue()

    def test_other_batches_another_order_and_repeats_give_the_same_tables(self):
        other = self.root / "other"
        rng = random.Random(3)
        folders = {path.parent for path in (self.root / "archive").rglob("*.avro")}
        for folder in folders:
            target = other / folder.relative_to(self.root / "archive")
            target.mkdir(parents=True)
            records = []
            for path in folder.glob("*.avro"):
                try:
                    with open(path, "rb") as file:
                        found = list(fastavro.reader(file))
                    if "Body" in found[0]:
                        records += found
                        continue
                except Exception:
                    pass
                shutil.copy(path, target)
            rng.shuffle(records)
            half = len(records) // 2
            for name, part in (("1", records[:half]), ("2", records[half:]), ("3", records[: half // 2])):
                if part:
                    with open(target / f"{name}.avro", "wb") as file:
                        fastavro.writer(file, generate.SCHEMA, part)
        found = reference.Reference(other)
        self.assertEqual([unit.events for unit in found.units], [unit.events for unit in self.first.units])
        # What is archived more often is counted, and nothing else is other.
        for unit, as_it_was in zip(found.units, self.first.units):
            unit.repeats = as_it_was.repeats
        self.assertEqual(self.differences(found), (0, ""))

    def test_rows_rejects_repeats_and_ticks_are_all_records(self):
        for unit in self.first.units:
            rejects = sum(count for count, _ in unit.rejects.values())
            dropped = unit.events - rejects - len(unit.readings)
            self.assertTrue(0 <= dropped <= unit.repeats, (unit.hour, dropped, unit.repeats))

    def test_whatever_is_altered_is_found(self):
        shutil.copytree(self.root / "tables", self.root / "altered")
        rng = random.Random(5)
        for table in tables.COLUMNS:
            path = max((self.root / "altered" / table).rglob("*.parquet"), key=lambda path: path.stat().st_size)
            good = path.read_bytes()
            rows, schema = tables.read(path)
            for alter in (self.value, self.row, self.order):
                changed = [dict(row) for row in rows]
                alter(changed, rng)
                relative = path.relative_to(self.root / "altered").as_posix()
                tables.write(self.root / "altered", {(table, relative): changed}, lambda table, rows: tables.schema(table))
                self.assertEqual(self.differences(self.first, "altered")[0] > 0, True, f"{table}: {alter.__name__}")
            path.write_bytes(good)
        self.assertEqual(self.differences(self.first, "altered"), (0, ""))

    @staticmethod
    def value(rows, rng):
        row = rng.choice(rows)
        column = next(name for name, value in reversed(row.items()) if type(value) in (int, float))
        row[column] += 1

    @staticmethod
    def row(rows, rng):
        rows.pop(rng.randrange(len(rows)))

    @staticmethod
    def order(rows, rng):
        rows.insert(0, rows.pop())


if __name__ == "__main__":
    unittest.main()
