# %% [markdown]
# The insights on Spark: the app's tables as Delta tables, or the same facts from the raw archive.
#
#     spark-submit insights.py to-delta  --tables URL --out URL [--from DATE --to DATE] [--format parquet]
#     spark-submit insights.py from-avro --archive URL --out URL [--from DATE --to DATE]
#
# As a notebook: one cell for each `# %%`; the last one asks `ARGUMENTS` instead of the command line. What each column and
# figure is says handlers/INSIGHTS.md. README.md beside this file says where it runs, from which size on, and what it costs.
# Needs Spark 3.4 or later, and for `from-avro` the Python packages fastavro and h3 on every worker; no further jars.

# %%
import argparse
import datetime
import io
import json
import re
import sys

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

ARGUMENTS = None  # in a notebook: ["from-avro", "--archive", "abfss://…", "--out", "abfss://…"]

TABLES = ["flight", "operating", "rejects", "cells", "deliveries", "drone_hours", "fleet_hours"]

SECOND = 1_000_000  # all times are microseconds
MINUTE, HOUR, DAY = 60 * SECOND, 3_600 * SECOND, 86_400 * SECOND
STALE, STALE_AGAIN, DELIVERY_DAYS, MOST_FOLDERS = 72 * HOUR, 30 * DAY, 4, 12
LONGEST_STEP, LONGEST_SPAN, LONGEST_DRAIN, LATE = MINUTE, 30 * SECOND, 15 * MINUTE, MINUTE
EARTH, FASTEST = 6_371_008.8, 100
CADENCE = {"flight": 5 * SECOND, "operating": 20 * SECOND}
HOT_SPOTS, SLOW = 200, 1.5

STATUSES = ["departedStation", "inFlight", "pickedUpPackage", "droppedOffPackage", "arrivedAtStation"]
SPANS = ["departed_s", "in_flight_s", "picked_up_s", "dropped_off_s", "arrived_s"]
PHASES = ["to_pick_up_s", "loaded_s", "return_s", "delivery_s"]

# %% [markdown]
# ## A body, checked
# As the handler checks it, and in its order: the reason of the first check that fails. One difference: a body whose JSON is
# nested deeper than Python follows it, about a thousand levels, is malformed here.

# %%
EARLIEST = 1_262_304_000 * 10**9  # 2010-01-01, the handler's setting `EarliestOccurrence`
DEVICE_REQUIRED = False  # its setting `RequireAuthenticatedDevice`

NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
IDENTIFIER = re.compile(r"[-:.+%_#*?!(),=@;$'0-9A-Za-z]{1,128}")
CLOCK = r"([0-9]{2}):([0-9]{2}):([0-9]{2})"
ISO_TIME = re.compile(rf"([0-9]{{4}})-([0-9]{{2}})-([0-9]{{2}})[Tt]{CLOCK}(\.[0-9]{{1,64}})?([Zz]|[-+][0-9]{{2}}:[0-9]{{2}})")
AMERICAN_TIME = re.compile(rf"([0-9]{{2}})/([0-9]{{2}})/([0-9]{{4}}) {CLOCK} ([-+][0-9]{{2}}:[0-9]{{2}})")
# Strings, commas that follow nothing, and those before an end: only the last are forgiven.
COMMA = re.compile(r'"(?:[^"\\]|\\.)*"|[{\[][ \t\n\r]*,|,(?=[ \t\n\r]*[}\]])', re.DOTALL)
KNOWN = {
    "occurrenceUtcTime", "deviceId", "sensorType", "deliveryId", "velocity", "acceleration", "position", "flightStatus",
    "temperature", "batteryStatus", "batteryLevel",
}


class Reject(Exception):
    """Why an event is no reading; `args` is the reason."""


class Digits(str):
    """A JSON number as it was written."""


class Members(list):
    """A JSON object, names and values as they came."""


def refused(word):
    raise ValueError(word)


def decoded(text):
    return json.loads(text, object_pairs_hook=Members, parse_float=Digits, parse_int=Digits, parse_constant=refused)


def is_whole(text):
    """Whether no surrogate has lost its other half."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def fields_of(body):
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        raise Reject("malformed-json")
    try:
        text = body.decode("utf-8")
        try:
            members = decoded(text)
        except ValueError:
            members = decoded(COMMA.sub(lambda match: " " if match[0] == "," else match[0], text))
    except (ValueError, RecursionError):
        raise Reject("malformed-json") from None
    if not isinstance(members, Members) or not all(is_whole(name) for name, _ in members):
        raise Reject("malformed-json")
    known = [(name, value) for name, value in members if name in KNOWN]
    fields = dict(known)
    if len(fields) < len(known):
        raise Reject("malformed-json")
    return fields


def present(fields, name):
    if fields.get(name) is None:
        raise Reject("missing-field")
    return fields[name]


def text_of(fields, name):
    value = present(fields, name)
    if not isinstance(value, str) or isinstance(value, Digits) or not is_whole(value):
        raise Reject("invalid-field")
    return value


def identifier(fields, name):
    value = text_of(fields, name)
    if not IDENTIFIER.fullmatch(value):
        raise Reject("invalid-field")
    return value


def number(text):
    text = text.strip(" \t\n\f\r")
    text = text[1:] if text.startswith("+") and not text.startswith("+-") else text
    if not NUMBER.fullmatch(text):
        raise Reject("invalid-field")
    if abs(float(text)) == float("inf"):
        raise Reject("out-of-range")
    return float(text) + 0.0  # no -0


def number_of(fields, name, least=None, greatest=None):
    value = present(fields, name)
    return in_range(value if isinstance(value, Digits) else text_of(fields, name), least, greatest)


def in_range(text, least, greatest):
    value = number(text)
    if least is not None and not least <= value <= greatest:
        raise Reject("out-of-range")
    return value


def nanoseconds(text, american=True):
    """Since 1970; `None` for what is no time."""
    match, leap = AMERICAN_TIME.fullmatch(text) if american else None, False
    if match:
        month, day, year, hour, minute, second, offset = match.groups()
        fraction = None
    else:
        match = ISO_TIME.fullmatch(text)
        if not match:
            return None
        year, month, day, hour, minute, second, fraction, offset = match.groups()
        leap = second == "60"
    nanos = int((fraction or ".")[1:].ljust(9, "0")[:9])
    if leap:
        second, nanos = "59", 999_999_999
    minutes = 0
    if offset not in "Zz":
        minutes = int(offset[1:3]) * 60 + int(offset[4:6])
        if int(offset[1:3]) > 23 or int(offset[4:6]) > 59:
            return None
    try:
        at = datetime.datetime(int(year), int(month), int(day), int(hour), int(minute), int(second))
        at -= datetime.timedelta(minutes=-minutes if offset[0] == "-" else minutes)
        if leap and (at + datetime.timedelta(seconds=1)).strftime("%d %H:%M:%S") != "01 00:00:00":
            return None
    except (ValueError, OverflowError):
        return None
    return (at - datetime.datetime(1970, 1, 1)) // datetime.timedelta(seconds=1) * 10**9 + nanos


def reading(fields, device, taken_at, authenticated):
    """A dict of the columns of what was read."""
    if authenticated is None and DEVICE_REQUIRED:
        raise Reject("device-not-authenticated")
    if authenticated is not None and authenticated != device:
        raise Reject("device-mismatch")
    sensor = text_of(fields, "sensorType")
    if sensor not in ("drone-event-sensor;v1", "drone-state-sensor;v1"):
        raise Reject("unsupported-sensor-type")
    read = {"device_id": device, "delivery_id": identifier(fields, "deliveryId")}
    occurred_at = nanoseconds(text_of(fields, "occurrenceUtcTime"))
    if occurred_at is None:
        raise Reject("invalid-field")
    if sensor == "drone-event-sensor;v1":
        read["velocity"] = number_of(fields, "velocity", 0, 500)
        read["acceleration"] = number_of(fields, "acceleration", -100, 100)
        parts = text_of(fields, "position").split("|")
        if len(parts) != 3:
            raise Reject("invalid-field")
        ranges = {"latitude": (-90, 90), "longitude": (-180, 180), "altitude": (-500, 20_000)}
        for part, (name, limits) in zip(parts, ranges.items()):
            read[name] = in_range(part, *limits)
        status = number_of(fields, "flightStatus")
        if not status.is_integer():
            raise Reject("invalid-field")
        if not 0 <= status <= 4:
            raise Reject("out-of-range")
        read |= {"kind": "flight", "status": STATUSES[int(status)]}
    else:
        read["temperature"] = number_of(fields, "temperature", -60, 250)
        status = text_of(fields, "batteryStatus")
        if not status.isascii() or status.lower() not in ("dead", "critical", "low", "medium", "high", "full"):
            raise Reject("invalid-field")
        read["battery_level"] = number_of(fields, "batteryLevel", 0, 1)
        read |= {"kind": "operating", "battery_status": status.lower()}
    if EARLIEST is not None and occurred_at < EARLIEST:
        raise Reject("occurred-long-ago")
    if occurred_at > taken_at + 300 * 10**9:
        raise Reject("occurred-in-future")
    return read | {"occurred_at": occurred_at // 1_000}


# %% [markdown]
# ## From the archive's files to one row for each record
# Files are read whole and by fastavro, so that one that is damaged is skipped and nothing of it counts.

# %%
RECORD = """
    hub string, partition string, unit_hour long, file string, skipped boolean,
    sequence_number long, hub_time long, enqueued_at long, replayed boolean, tick boolean,
    reason string, named string, kind string, device_id string, delivery_id string, occurred_at long,
    latitude double, longitude double, altitude double, velocity double, acceleration double, status string,
    temperature double, battery_level double, battery_status string"""
COLUMNS = [column.split() for column in RECORD.replace("\n", " ").split(",")]
FILE = re.compile(r"/([^/]+)/([^/]+)/(\d{4})/(\d\d)/(\d\d)/(\d\d)/([^/]+\.avro)$")
SCHEMA = ["SequenceNumber", "Offset", "EnqueuedTimeUtc", "SystemProperties", "Properties", "Body"]


def named(path):
    """What a file's name says; `None` where it is none of the archive's."""
    match = FILE.search(path)
    if not match:
        return None
    hub, partition, year, month, day, hour, name = match.groups()
    begin = datetime.datetime(int(year), int(month), int(day), int(hour)) - datetime.datetime(1970, 1, 1)
    return {"hub": hub, "partition": partition, "unit_hour": begin // datetime.timedelta(microseconds=1), "file": name}


def rows_of_file(path, content):
    """Its records, and one row for itself."""
    import fastavro

    head = named(path)
    if head is None:
        return []
    try:
        records = fastavro.reader(io.BytesIO(content))
        if [column["name"] for column in records.writer_schema["fields"]] != SCHEMA:
            raise ValueError("another schema")
        rows = [row_of(record) for record in records]
    except Exception:  # Whatever is wrong with it, it must not stop the others.
        return [head | {"skipped": True}]
    return [head | {"skipped": False} | row for row in [{}, *rows]]


def row_of(record):
    system, properties = record["SystemProperties"], record["Properties"]
    millis = system.get("x-opt-enqueued-time")
    if not isinstance(millis, int):
        raise ValueError("an event without an exact time")
    taken_at, first = millis * 10**6, properties.get("first-enqueued-at")
    first = nanoseconds(first, american=False) if isinstance(first, str) else None
    taken_at = taken_at if first is None else min(taken_at, first)
    authenticated = system.get("iothub-connection-device-id")
    authenticated = authenticated if isinstance(authenticated, str) else None
    body = record["Body"] or b""
    row = {
        "sequence_number": record["SequenceNumber"],
        "hub_time": millis * 1_000,
        "enqueued_at": taken_at // 1_000,
        "replayed": taken_at // 1_000 < millis * 1_000,
        "tick": authenticated is None and body == b"{}",
    }
    if not row["tick"]:
        device = None
        try:
            fields = fields_of(body)
            device = identifier(fields, "deviceId")
            row |= reading(fields, device, taken_at, authenticated)
        except Reject as reject:
            row |= {"reason": reject.args[0], "named": device}
    return row


def read_files(batches):
    import pyarrow

    types = {"string": pyarrow.string(), "long": pyarrow.int64(), "double": pyarrow.float64(), "boolean": pyarrow.bool_()}
    schema = pyarrow.schema([(name, types[kind]) for name, kind in COLUMNS])
    for batch in batches:
        for path, content in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist()):
            rows = rows_of_file(path, content)
            if rows:
                yield pyarrow.RecordBatch.from_pylist(rows, schema=schema)


class Work:
    """Where what is used more than once is kept meanwhile. A plan then begins there, and a lost worker costs only its own part."""

    def __init__(self, spark, folder):
        self.spark, self.folder = spark, folder

    def keep(self, rows, name):
        path = f"{self.folder}/{name}"
        rows.write.mode("overwrite").parquet(path)
        return self.spark.read.schema(rows.schema).parquet(path)

    def delete(self):
        try:
            path = self.spark._jvm.org.apache.hadoop.fs.Path(self.folder)
            path.getFileSystem(self.spark._jsc.hadoopConfiguration()).delete(path, True)
        except Exception:  # Not every platform lets a program at its file system.
            print(f"{self.folder} is of no use any more and may be deleted")


def records_of(spark, archive, days, work):
    # A batch is so many files, all of them in a worker's memory.
    spark.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "32")
    names = "*/*/*" if days is None else "{" + ",".join(f"{day:%Y/%m/%d}" for day in days) + "}"
    files = spark.read.format("binaryFile").load(f"{archive.rstrip('/')}/*/*/{names}/*/*.avro")
    records = work.keep(files.select("path", "content").mapInArrow(read_files, RECORD), "records")
    # Spark passes over files that are empty, as if they were not there.
    heads = [named(path) for path in files.inputFiles()]
    key = ["hub", "partition", "unit_hour", "file"]
    listed = spark.createDataFrame([tuple(head.values()) for head in heads if head], "hub string, partition string, unit_hour long, file string")
    empty = listed.join(records.select(key).distinct(), key, "left_anti").withColumn("skipped", F.lit(True))
    return records.unionByName(empty, allowMissingColumns=True)


# %% [markdown]
# ## Which events count

# %%
LOG = ["hub", "partition"]
VALUES = [
    "latitude", "longitude", "altitude", "velocity", "acceleration", "status", "temperature", "battery_level", "battery_status",
]
IN_TIME = ["occurred_at", "enqueued_at", "sequence_number", "hub_time"]


def count_of(condition):
    return F.count_if(F.expr(condition))


def first_of(rows, same, order):
    """Marks of rows that are the same the one that stays."""
    return rows.withColumn("stays", F.row_number().over(Window.partitionBy(*same).orderBy(*order)) == 1)


EQUAL = ["device_id", "delivery_id", "kind", "occurred_at"] + VALUES
LEAST = ["enqueued_at", "sequence_number", "hub_time"]
UNIT = LOG + ["unit_hour"]
# Came too late, the first time or again.
IS_STALE = f"(enqueued_at - occurred_at > {STALE} or unit_hour - enqueued_at > {STALE_AGAIN})"


def only_first(records, work):
    """In each unit, events once, and of equal readings the least; with them, marked, what was left out."""
    found = first_of(records.where("sequence_number is not null"), UNIT + ["hub_time", "sequence_number"], ["file"])
    found = work.keep(found, "found")
    events = found.where("stays and not tick")
    return found, events, work.keep(first_of(events.where("kind is not null"), UNIT + EQUAL, LEAST), "readings")


def settled(readings):
    """Of equal readings of all units the least."""
    return first_of(readings, LOG + EQUAL, LEAST).where("stays").drop("stays")


def units_of(records, found, events, readings):
    """One row for each unit: whether it is complete, and its counts."""
    files = records.groupBy(UNIT).agg((~F.bool_or("skipped")).alias("complete"))
    # A number that falls is of a hub that was made anew.
    before = F.lag("sequence_number").over(Window.partitionBy(*UNIT).orderBy("hub_time", "sequence_number"))
    gaps = found.where("stays").withColumn("gap", F.greatest(F.lit(0), F.col("sequence_number") - before - 1))
    gaps = gaps.groupBy(UNIT).agg(F.sum("gap").alias("missing"))
    again = found.groupBy(UNIT).agg(count_of("not stays and not tick").alias("archived_again"))
    counted = events.groupBy(UNIT).agg(F.count("*").alias("events"))
    kept = readings.groupBy(UNIT).agg(
        count_of("not stays").alias("read_again"),
        count_of(f"stays and {IS_STALE}").alias("stale"),
        count_of("stays and replayed").alias("replayed"),
    )
    own = readings.where(f"stays and occurred_at - occurred_at % {HOUR} = unit_hour").groupBy(UNIT + ["device_id", "kind"])
    spans = own.agg(F.count("*").alias("found"), (F.max("occurred_at") - F.min("occurred_at")).alias("span"))
    every = f"case when kind = 'flight' then {CADENCE['flight']} else {CADENCE['operating']} end"
    spans = spans.groupBy(UNIT).agg(F.sum("found").alias("found"), F.sum(F.expr(f"span div ({every}) + 1")).alias("expected"))
    for other in (gaps, again, counted, kept, spans):
        files = files.join(other, UNIT, "left")
    return files.na.fill(0).withColumn("repeats", F.expr("archived_again + read_again"))


# %% [markdown]
# ## Deliveries and the hours of drones

# %%
def meters(lat1, lon1, lat2, lon2):
    lat1, lon1, lat2, lon2 = (F.radians(column) for column in (lat1, lon1, lat2, lon2))
    a = F.sin((lat2 - lat1) / 2) ** 2 + F.cos(lat1) * F.cos(lat2) * F.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH * F.asin(F.least(F.lit(1.0), F.sqrt(a)))


def with_before(rows, window, columns):
    for column in columns:
        rows = rows.withColumn(f"{column}_before", F.lag(column).over(window))
    return rows.withColumn("gap", F.expr("occurred_at - occurred_at_before"))


def with_steps(flight, window):
    """Each flight reading with the one before it in the window, and the way between them."""
    rows = with_before(flight, window, ["occurred_at", "latitude", "longitude", "status"])
    length = meters(*(F.col(name) for name in ("latitude_before", "longitude_before", "latitude", "longitude")))
    rows = rows.withColumn("length", length)
    return rows.withColumn("jump", F.expr(f"length > {FASTEST} * gap / {SECOND}"))


def cells(resolution):
    def cell(latitude, longitude):
        import h3

        return None if latitude is None else h3.latlng_to_cell(latitude, longitude, resolution)

    return F.udf(cell, "string")


def between(begin, end):
    return F.expr(f"case when {end} >= {begin} then ({end} - {begin}) / {SECOND} end")


def with_sources():
    return [
        F.expr("concat_ws(' ', transform(sort_array(collect_set(unit_hour)), hour -> date_format(timestamp_micros(hour), \"yyyy-MM-dd'T'HH\")))").alias("sources"),
        F.bool_and("complete").alias("complete"),
    ]


def of_first_folders(readings, fact):
    """What a fact is made of: the readings of the first folders that have something of it."""
    folder = F.dense_rank().over(Window.partitionBy(*fact).orderBy("unit_hour"))
    return readings.withColumn("folder", folder).where(f"folder <= {MOST_FOLDERS}").drop("folder")


PART = LOG + ["device_id", "delivery_id", "first_hour", "filed"]


def by_days(days):
    """Which folder is in which row of `deliveries`: each is put, in their order, to the rows that lie within four days of one of its
    readings. `days` are (folder, day on which something of it was enqueued)."""
    of_folders, rows = {}, []
    for hour, day in days:
        of_folders.setdefault(hour, set()).add(day)
    for hour in sorted(of_folders):
        near = [row for row in rows if any(abs(row["filed"] - day) <= DELIVERY_DAYS for day in of_folders[hour])]
        folders = sorted([hour, *(hour for row in near for hour in row["folders"])])[:MOST_FOLDERS]
        filed = min(min(of_folders[hour]) for hour in folders)
        rows = [row for row in rows if row not in near] + [{"folders": folders, "filed": filed}]
    return [(hour, row["folders"][0], row["filed"] * DAY) for row in rows for hour in row["folders"]]


def with_parts(readings):
    """Each reading with the row of `deliveries` that it belongs to, named by its first folder, and the day that this is filed under."""
    delivery = LOG + ["device_id", "delivery_id"]
    days = F.collect_set(F.struct("unit_hour", F.expr(f"enqueued_at div {DAY} as day")))
    parted = F.udf(by_days, "array<struct<unit_hour: bigint, first_hour: bigint, filed: bigint>>")
    parts = readings.groupBy(delivery).agg(parted(days).alias("parts")).selectExpr(*delivery, "inline(parts)")
    return readings.join(parts, delivery + ["unit_hour"])


def deliveries_of(readings):
    part = PART
    told = readings.groupBy(part).agg(F.max("unit_hour").alias("last_hour"), *with_sources())
    readings = first_of(readings, PART + EQUAL[2:], LEAST).where("stays")
    window = Window.partitionBy(*part).orderBy(*IN_TIME)
    whole = Window.partitionBy(*part)
    flight = with_steps(readings.where("kind = 'flight'"), window).withColumn("at", F.row_number().over(window))
    for name, status in (("picked", 2), ("dropped", 3)):
        flight = flight.withColumn(name, F.min(F.expr(f"case when status = '{STATUSES[status]}' then at end")).over(whole))

    def first(status, where="true"):
        return F.min(F.expr(
            f"case when status = '{STATUSES[status]}' and {where} then "
            "struct(at, occurred_at as time, gap, latitude, longitude) end"
        ))

    flown = flight.groupBy(part).agg(
        first(0).alias("departed"), first(2).alias("picked_up"), first(3).alias("dropped_off"),
        F.coalesce(first(4, "at > coalesce(dropped, picked)"), first(4)).alias("arrived"),
        first(4, "at > picked").alias("arrived_after"),
        F.sum(F.expr(f"case when not jump and gap <= {LONGEST_STEP} then length else 0D end")).alias("distance_m"),
        F.sum(F.expr(f"case when not jump and gap > {LONGEST_STEP} then length else 0D end")).alias("chord_m"),
        count_of("jump").alias("jumps"),
        (F.max("gap") / SECOND).alias("max_gap_s"),
        F.count("*").alias("flight_readings"),
    )
    every = readings.groupBy(part).agg(
        F.min("occurred_at").alias("first_at"), F.max("occurred_at").alias("last_at"),
        count_of("kind = 'operating'").alias("operating_readings"),
        count_of("replayed").alias("replayed"),
    )
    rows = every.join(told, part).join(flown, part, "left")
    level = F.struct(*IN_TIME, "battery_level")
    drained = readings.where("kind = 'operating'").join(rows.select(*part, F.col("arrived.time").alias("arrived_time")), part)
    drained = drained.where("arrived_time is null or occurred_at < arrived_time").groupBy(part).agg(
        F.min(level).alias("full"), F.max(level).alias("drained"), F.count("*").alias("levels"))
    rows = rows.join(drained, part, "left")
    for name in ("departed", "picked_up", "dropped_off", "arrived"):
        rows = rows.withColumn(f"{name}_at", F.expr(f"{name}.time")).withColumn(f"{name}_gap_s", F.expr(f"{name}.gap / {SECOND}"))
    for name, place in (("pick_up", "picked_up"), ("drop_off", "dropped_off")):
        for side in ("latitude", "longitude"):
            rows = rows.withColumn(f"{name}_{side}", F.expr(f"{place}.{side}"))
        rows = rows.withColumn(f"{name}_h3", cells(9)(f"{name}_latitude", f"{name}_longitude"))
    return rows.select(
        *LOG, "device_id", "delivery_id", "first_at", "last_at",
        "departed_at", "picked_up_at", "dropped_off_at", "arrived_at",
        "departed_gap_s", "picked_up_gap_s", "dropped_off_gap_s", "arrived_gap_s",
        F.expr("coalesce(dropped_off_at, arrived_at, last_at)").alias("ended_at"),
        F.expr(
            "case when dropped_off is not null then 'delivered' when arrived_after is not null then 'inferred' "
            "when picked_up is null and arrived is not null then 'returned' else 'open' end"
        ).alias("outcome"),
        between("departed_at", "picked_up_at").alias("to_pick_up_s"),
        between("picked_up_at", "dropped_off_at").alias("loaded_s"),
        between("dropped_off_at", "arrived_at").alias("return_s"),
        between("departed_at", "dropped_off_at").alias("delivery_s"),
        *(F.coalesce(F.col(name), F.lit(none)).alias(name) for name, none in (("distance_m", 0.0), ("chord_m", 0.0), ("jumps", 0))),
        F.expr("case when levels >= 2 then full.battery_level - drained.battery_level end").alias("battery_used"),
        *(f"{name}_{what}" for name in ("pick_up", "drop_off") for what in ("latitude", "longitude", "h3")),
        F.coalesce("flight_readings", F.lit(0)).alias("flight_readings"), "operating_readings", "max_gap_s", "replayed",
        "first_hour", "last_hour", "sources", "complete", "filed",
    )


def drone_hours_of(readings):
    row = LOG + ["device_id", "hour"]
    readings = of_first_folders(readings.withColumn("hour", F.expr(f"occurred_at - occurred_at % {HOUR}")), row)
    told = readings.groupBy(row).agg(*with_sources())
    readings = settled(readings)
    window = Window.partitionBy(*LOG, "device_id").orderBy(*IN_TIME)
    flight = with_steps(readings.where("kind = 'flight'"), window)
    # A span may go on into the next hour, where there is a row for that.
    end = F.least(F.expr(f"occurred_at + {LONGEST_SPAN}"), F.lead("occurred_at").over(window))
    flight = flight.withColumn("end", end)
    of_hour = f"inline(array(named_struct('hour', hour, 'span', least(end, hour + {HOUR}) - occurred_at), named_struct('hour', hour + {HOUR}, 'span', end - hour - {HOUR})))"
    spans = flight.selectExpr(*LOG, "device_id", "status", f"{of_hour} as (hour, span)").where("span > 0")
    spans = spans.groupBy(row).agg(
        *(F.sum(F.expr(f"case when status = '{status}' then span else 0 end")).alias(span) for status, span in zip(STATUSES, SPANS)))
    flown = flight.groupBy(row).agg(
        F.sum(F.expr(f"case when not jump and gap <= {LONGEST_STEP} then length else 0D end")).alias("distance_m"),
        count_of(f"jump and gap <= {LONGEST_STEP}").alias("jumps"),
        F.count("*").alias("flight_readings"),
    )
    operating = with_before(readings.where("kind = 'operating'"), window, ["occurred_at", "battery_level"])
    fall = f"case when gap <= {LONGEST_DRAIN} then battery_level_before - battery_level else 0D end"
    drained = operating.groupBy(row).agg(
        F.sum(F.expr(f"greatest(0D, {fall})")).alias("battery_used"),
        F.sum(F.expr(f"greatest(0D, -({fall}))")).alias("battery_charged"),
        F.max("temperature").alias("temperature_max"), F.count("*").alias("operating_readings"),
    )
    every = readings.groupBy(row).agg(count_of(f"enqueued_at - occurred_at > {LATE}").alias("late")).join(told, row)
    rows = every.join(spans, row, "left").join(flown, row, "left").join(drained, row, "left").na.fill(
        0, SPANS + ["distance_m", "jumps", "flight_readings", "battery_used", "battery_charged", "operating_readings"])
    return rows.select(
        *row, *((F.col(span) / SECOND).alias(span) for span in SPANS),
        F.expr(f"({HOUR} - {' - '.join(SPANS)}) / {SECOND}").alias("unknown_s"), "distance_m", "jumps",
        "battery_used", "battery_charged", "temperature_max", "flight_readings", "operating_readings", "late",
        "sources", "complete",
    )


# %% [markdown]
# ## The fleet's figures
# Small sums are collected and put together here: a row for each hour, two for what is exact only when it is sorted.

# %%
def iso(at):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=at)).isoformat() + "Z"


def ranked(ordered, p):
    return ordered[-(-p * len(ordered) // 100) - 1] if ordered else None


def ranked_of_counts(counts, p):
    """The same of values with their counts."""
    rank, seen = -(-p * sum(counts.values()) // 100), 0
    for value in sorted(counts):
        seen += counts[value]
        if seen >= rank:
            return value
    return None


def add(into, key, row):
    sums = into.setdefault(key, {})
    for name, value in row.items():
        if isinstance(value, dict):
            add(sums, name, value)
        elif isinstance(value, list):
            sums[name] = sums.get(name, []) + value
        elif isinstance(value, bool):
            sums[name] = sums.get(name, True) and value
        else:
            sums[name] = sums.get(name, 0) + value


class Figures:
    """The sums of hours, and of days: those of a day are those of its hours, but for drones, which are distinct."""

    def __init__(self):
        self.hours, self.days, self.drones = {}, {}, {}

    def add(self, hour, **row):
        add(self.hours, hour, row)
        add(self.days, hour - hour % DAY, row)


def around(deliveries, column):
    """The rows that a day's figures are made from: those of the four days before and after it."""
    return deliveries.where(f"abs(filed div {DAY} - {column} div {DAY}) <= {DELIVERY_DAYS}")


def hourly(column):
    return F.expr(f"{column} - {column} % {HOUR}").alias("hour")


def figures_of(units, readings, events, deliveries, drone_hours, as_of):
    figures = Figures()
    for row in units.collect():
        figures.add(row.unit_hour, complete=row.complete, quality={
            name: row[name] for name in ("events", "repeats", "missing", "stale", "replayed")
        }, expected=row.expected, found=row.found)
    for row in events.where("reason is not null").groupBy("unit_hour", "reason").count().collect():
        figures.add(row.unit_hour, rejects={row.reason: row["count"]})
    lag = F.expr(
        "case when enqueued_at - occurred_at < 60000000 then greatest(0, enqueued_at - occurred_at) div 100000 / 10D "
        "else (enqueued_at - occurred_at) div 60000000 * 60D end")
    for row in readings.where("not replayed").groupBy("unit_hour", lag.alias("lag")).count().collect():
        figures.add(row.unit_hour, lags={row.lag: row["count"]})

    for row in around(deliveries, "first_at").groupBy(hourly("first_at")).agg(F.count("*").alias("started"), F.bool_and("complete").alias("complete")).collect():
        figures.add(row.hour, started=row.started, complete=row.complete)
    lost = f"case when outcome = 'open' and last_at <= {as_of - DAY} then 'lost' else outcome end"
    for row in around(deliveries, "ended_at").groupBy(hourly("ended_at"), F.expr(lost).alias("outcome")).agg(
        F.count("*").alias("count"), F.bool_and("complete").alias("complete"),
        F.sum(F.expr("case when distance_m > 0 then battery_used end")).alias("battery"),
        F.sum(F.expr("case when battery_used is not null then distance_m end")).alias("meters"),
        *(F.collect_list(name).alias(name) for name in PHASES),
    ).collect():
        figures.add(row.hour, complete=row.complete, outcomes={row.outcome: row["count"]},
                    battery=row.battery or 0.0, meters=row.meters or 0.0)
        if row.outcome == "delivered":
            figures.add(row.hour, phases={name: row[name] for name in PHASES})
    for row in drone_hours.groupBy("hour").agg(
        F.bool_and("complete").alias("complete"), F.sum("distance_m").alias("distance_m"), F.countDistinct("device_id").alias("drones"),
        *(F.sum(name).alias(name) for name in SPANS + ["unknown_s"]),
    ).collect():
        figures.drones[row.hour] = row.drones
        figures.add(row.hour, complete=row.complete, distance_m=row.distance_m, seconds={name: row[name] for name in SPANS + ["unknown_s"]})
    for row in drone_hours.groupBy(F.expr(f"hour - hour % {DAY}").alias("day")).agg(F.countDistinct("device_id").alias("drones")).collect():
        figures.drones["day", row.day] = row.drones
    return figures


def shown(sums, drones):
    outcomes, seconds, quality = sums.get("outcomes", {}), sums.get("seconds", {}), sums.get("quality", {})
    seconds = {camel(name[:-2]): seconds.get(name, 0.0) for name in SPANS + ["unknown_s"]}
    known = sum(seconds.values()) - seconds["unknown"]
    phases = {name: sorted(sums.get("phases", {}).get(name, [])) for name in PHASES}
    lags, meters_flown = sums.get("lags", {}), sums.get("meters", 0.0)
    return {
        "deliveries": {"started": sums.get("started", 0)} | {
            name: outcomes.get(name, 0) for name in ("delivered", "inferred", "returned", "open", "lost")},
        "phases": {
            camel(name[:-2]): {"count": len(took)} | {f"p{p}": ranked(took, p) for p in (50, 95, 99)} for name, took in phases.items()
        },
        "distanceKm": sums.get("distance_m", 0.0) / 1_000,
        "batteryPerKm": sums["battery"] / (meters_flown / 1_000) if meters_flown > 0 else None,
        "drones": drones,
        "seconds": seconds,
        "utilisation": (known - seconds["arrived"]) / known if known > 0 else None,
        "quality": {name: quality.get(name, 0) for name in ("events", "repeats", "missing", "stale", "replayed")} | {
            "rejects": dict(sorted(sums.get("rejects", {}).items())),
            "completeness": sums["found"] / sums["expected"] if sums.get("expected", 0) > 0 else None,
            "lagP50": ranked_of_counts(lags, 50), "lagP99": ranked_of_counts(lags, 99),
        },
    }


def camel(name):
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def flat(figures, prefix=""):
    """A figure's name in `fleet_hours` is its path; of rejects, how many there are."""
    row = {}
    for name, value in figures.items():
        name = prefix + re.sub("([A-Z])", lambda match: "_" + match[1].lower(), name)
        if name == "quality_rejects":
            row[name] = sum(value.values())
        else:
            row |= flat(value, name + "_") if isinstance(value, dict) else {name: value}
    return row


def daily(column):
    return F.expr(f"{column} - {column} % {DAY}").alias("day")


def largest(counted, amount):
    window = Window.partitionBy("day").orderBy(F.desc(amount), "cell")
    rows = counted.withColumn("rank", F.row_number().over(window)).where(f"rank <= {HOT_SPOTS}").orderBy("day", "rank")
    spots = {}
    for row in rows.collect():
        spots.setdefault(row.day, []).append({"cell": row.cell, amount: row[amount]})
    return spots


def hot_spots_of(readings, deliveries):
    order = ["occurred_at", "sequence_number", "enqueued_at", "delivery_id"]
    window = Window.partitionBy(*UNIT, "device_id").orderBy(*order)
    following = F.lead(F.struct("delivery_id", "occurred_at", "stale")).over(window)
    flight = readings.where("kind = 'flight'").withColumn("stale", F.expr(IS_STALE))
    flight = flight.withColumn("next", following).where("next.delivery_id = delivery_id and not stale and not next.stale")
    spans = flight.groupBy(daily("unit_hour"), cells(8)("latitude", "longitude").alias("cell")).agg(
        F.sum(F.expr(f"least(next.occurred_at - occurred_at, {LONGEST_SPAN})")).alias("microseconds"))
    spans = spans.withColumn("seconds", F.col("microseconds") / SECOND)
    places = [
        around(deliveries, "ended_at").where(f"{place}_h3 is not null").groupBy(daily("ended_at"), F.col(f"{place}_h3").alias("cell")).count()
        for place in ("pick_up", "drop_off")
    ]
    return {"pickUps": largest(places[0], "count"), "dropOffs": largest(places[1], "count"), "flight": largest(spans, "seconds")}


def slow_of(deliveries):
    places = (F.col(name) for name in ("pick_up_latitude", "pick_up_longitude", "drop_off_latitude", "drop_off_longitude"))
    usual = around(deliveries, "ended_at").where("outcome = 'delivered' and delivery_s is not null and pick_up_h3 is not null")
    bands = usual.groupBy(daily("ended_at"), F.floor(meters(*places) / 1_000).alias("band")).agg(
        F.sort_array(F.collect_list("delivery_s")).alias("took"))
    bands = bands.withColumn("median", F.expr("element_at(took, int((size(took) + 1) div 2))"))
    bands = bands.withColumn("slow", F.expr(f"size(filter(took, seconds -> seconds > {SLOW}D * median))"))
    return {row.day: row.slow for row in bands.groupBy("day").agg(F.sum("slow").alias("slow")).collect()}


def days_of(figures, spots, slow, as_of):
    """What fleet.json holds, by day."""
    days = {}
    for day in sorted(figures.days):
        hours = [
            {"hour": iso(hour), "complete": hour + HOUR <= as_of and figures.hours[hour].get("complete", True)}
            | shown(figures.hours[hour], figures.drones.get(hour, 0))
            for hour in sorted(figures.hours) if hour - hour % DAY == day
        ]
        days[iso(day)[:10]] = {
            "schema": 1, "date": iso(day)[:10], "asOf": iso(as_of),
            "complete": day + DAY <= as_of and all(hour["complete"] for hour in hours),
            "hours": hours,
            "day": {"slow": slow.get(day, 0)} | shown(figures.days[day], figures.drones.get(("day", day), 0)),
            "hotSpots": {name: of_days.get(day, []) for name, of_days in spots.items()},
        }
    return days


# %% [markdown]
# ## Writing

# %%
TIMES = {
    "deliveries": ["first_at", "last_at", "departed_at", "picked_up_at", "dropped_off_at", "arrived_at", "ended_at", "first_hour", "last_hour"],
    "drone_hours": ["hour"],
    "fleet_hours": ["hour", "as_of"],
}


def dated(rows, table, by):
    rows = rows.withColumn("date", F.expr(f"date_format(timestamp_micros({by}), 'yyyy-MM-dd')"))
    for name in TIMES[table]:
        rows = rows.withColumn(name, F.timestamp_micros(name))
    # The app's tables say by the file's name what these two say.
    names = [name for name in rows.columns if name not in LOG + ["date"]] + [name for name in LOG + ["date"] if name in rows.columns]
    return rows.select(names)


def within(rows, options):
    if options.from_date:
        rows = rows.where(f"date between '{options.from_date}' and '{options.to_date}'")
    return rows


def write_dates(rows, path, order):
    """Replaces the folders of the dates that there are rows of, and no others."""
    rows.repartition("date").sortWithinPartitions("date", *order).write.mode("overwrite").partitionBy("date").parquet(path)


def from_avro(spark, options):
    days = None
    if options.from_date:
        first, last = options.from_date - datetime.timedelta(DELIVERY_DAYS), options.to_date + datetime.timedelta(DELIVERY_DAYS)
        days = [first + datetime.timedelta(n) for n in range((last - first).days + 1)]
    out = options.out.rstrip("/")
    work = Work(spark, f"{out}/_work")
    records = records_of(spark, options.archive, days, work)
    found, events, readings = only_first(records, work)
    units = work.keep(units_of(records, found, events, readings), "units")
    as_of = units.agg(F.max("unit_hour")).first()[0] + HOUR
    kept = readings.where("stays").drop("stays")
    fresh = kept.where(f"not {IS_STALE}").join(F.broadcast(units.select(*LOG, "unit_hour", "complete")), LOG + ["unit_hour"])
    deliveries = work.keep(deliveries_of(work.keep(with_parts(fresh), "parts")), "deliveries")
    drone_hours = work.keep(drone_hours_of(fresh), "drone_hours")

    figures = figures_of(units, kept, events, deliveries, drone_hours, as_of)
    fleet = days_of(figures, hot_spots_of(kept, deliveries), slow_of(deliveries), as_of)
    rows = [flat(hour) for day in fleet.values() for hour in day["hours"]]
    # By their names: what is a share or a percentile may be null everywhere, and so has no type of its own.
    kinds = {"hour": "string", "complete": "boolean"}
    double = re.compile(r"_p\d\d$|^seconds_|_km$|^utilisation$|completeness$")
    schema = ", ".join(f"{name} {kinds.get(name) or ('double' if double.search(name) else 'long')}" for name in rows[0])
    hours = spark.createDataFrame([tuple(row.values()) for row in rows], schema)
    hours = hours.withColumn("hour", F.unix_micros(F.to_timestamp("hour"))).withColumn("as_of", F.lit(as_of))
    texts = spark.createDataFrame([(date, json.dumps(day)) for date, day in fleet.items()], "date string, value string")

    write_dates(within(dated(deliveries, "deliveries", "filed").drop("filed"), options), f"{out}/deliveries", ["device_id", "delivery_id"])
    write_dates(within(dated(drone_hours, "drone_hours", "hour"), options), f"{out}/drone_hours", ["device_id", "hour"])
    write_dates(within(dated(hours, "fleet_hours", "hour"), options), f"{out}/fleet_hours", ["hour"])
    within(texts, options).coalesce(1).write.mode("overwrite").partitionBy("date").text(f"{out}/fleet")
    skipped = [f"{row.hub}/{row.partition}/{iso(row.unit_hour)[:13]}/{row.file}" for row in records.where("skipped").collect()]
    work.delete()
    for name in skipped:
        print(f"skipped, because it could not be read: {name}")
    print(f"{texts.transform(within, options).count()} days to {out}, {len(skipped)} files skipped")


# %% [markdown]
# ## The app's tables as Delta tables
# Each date is replaced as a whole, so a run can be repeated, and what has been restated meanwhile is what stands.

# %%
def to_delta(spark, options):
    is_delta = options.format == "delta"
    for table in options.only or TABLES:
        path, target = f"{options.tables.rstrip('/')}/{table}", f"{options.out.rstrip('/')}/{table}"
        # Only Parquet: fleet.json lies beside it. The date is a text, as `replaceWhere` and every other engine has it.
        spark.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
        rows = spark.read.option("mergeSchema", "true").option("recursiveFileLookup", "false").option("pathGlobFilter", "*.parquet").parquet(path)
        rows = within(rows, options)
        by = ["date", "hour"] if table in ("flight", "operating", "rejects", "cells") else ["date"]
        dates = sorted(row.date for row in rows.select("date").distinct().collect())
        for date in dates:
            writer = rows.where(F.col("date") == date).repartition(*by).write.partitionBy(*by).mode("overwrite")
            if is_delta:
                writer.format("delta").option("replaceWhere", f"date = '{date}'").option("mergeSchema", "true").save(target)
            else:
                writer.parquet(target)
        print(f"{table}: {len(dates)} dates to {target}")


def has_delta(spark):
    try:
        spark._jvm.java.lang.Class.forName("io.delta.sql.DeltaSparkSessionExtension", False, spark._jvm.Thread.currentThread().getContextClassLoader())
        return True
    except Exception as error:
        # Where there is no JVM at hand (Spark Connect), the platform is one that has Delta.
        return "ClassNotFound" not in str(error)


def without_delta():
    print("Delta Lake is not there: install delta-spark of Spark's version (pip install delta-spark==3.3.*, which loads its jars "
          "by Maven), or give --format parquet", file=sys.stderr)
    return 2


# %%
def main(arguments):
    parser = argparse.ArgumentParser(prog="insights.py", description="The insights on Spark.")
    commands = parser.add_subparsers(dest="command", required=True)
    delta = commands.add_parser("to-delta", help="the app's Parquet tables as Delta tables, date by date")
    delta.add_argument("--tables", required=True, help="the container delivery-insights: abfss://… or a folder")
    delta.add_argument("--format", choices=["delta", "parquet"], default="delta", help="parquet where there is no Delta Lake")
    delta.add_argument("--only", nargs="+", choices=TABLES, help="these tables alone")
    avro = commands.add_parser("from-avro", help="deliveries, drone_hours, fleet_hours and fleet from the raw archive")
    avro.add_argument("--archive", required=True, help="the container telemetry-archive: abfss://… or a folder")
    for command in (delta, avro):
        command.add_argument("--out", required=True, help="where the tables go")
        command.add_argument("--from", dest="from_date", type=datetime.date.fromisoformat, help="the first date")
        command.add_argument("--to", dest="to_date", type=datetime.date.fromisoformat, help="the last date")
    options = parser.parse_args(arguments)
    if (options.from_date is None) != (options.to_date is None):
        parser.error("--from and --to go together")

    builder = SparkSession.builder.appName("insights")
    if options.command == "to-delta" and options.format == "delta":
        try:
            from delta import configure_spark_with_delta_pip

            # On a machine of one's own; Fabric, Synapse and Databricks have it built in.
            if SparkSession.getActiveSession() is None:
                builder = configure_spark_with_delta_pip(
                    builder.config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
                    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog"))
        except ImportError:
            pass
    try:
        spark = builder.getOrCreate()
    except Exception as error:
        # The jars of Delta Lake come by Maven, which not every machine reaches.
        print(f"Spark does not begin: {str(error)[:500]}", file=sys.stderr)
        sys.exit(without_delta() if options.command == "to-delta" and options.format == "delta" else 1)
    spark.conf.set("spark.sql.session.timeZone", "UTC")
    spark.conf.set("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    spark.conf.set("spark.sql.sources.partitionOverwriteMode", "dynamic")
    if options.command == "from-avro":
        return from_avro(spark, options)
    if options.format == "delta" and not has_delta(spark):
        sys.exit(without_delta())
    return to_delta(spark, options)


if __name__ == "__main__":
    main(ARGUMENTS)
