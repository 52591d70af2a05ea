"""The archive's files: from Avro to the readings, rejects and counts of each unit.

A unit is one partition's hour: `<hub>/<partition>/<yyyy>/<MM>/<dd>/<HH>/`. Times are microseconds since 1970 from here
on. Nothing here knows of Parquet, deliveries or figures.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path

import fastavro

import telemetry

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
STALE = 72 * HOUR
STALE_AGAIN = 30 * DAY
CADENCE = {"flight": 5 * SECOND, "operating": 20 * SECOND}

FOLDER = re.compile(r"(?P<hub>.+)/(?P<partition>[^/]+)/(?P<year>\d{4})/(?P<month>\d\d)/(?P<day>\d\d)/(?P<hour>\d\d)")
COLUMNS = ["SequenceNumber", "Offset", "EnqueuedTimeUtc", "SystemProperties", "Properties", "Body"]


@dataclass
class Event:
    """One record of a file."""

    sequence_number: int
    hub_time: int  # microseconds
    taken_at: int  # the earlier of the hub's and the sender's, nanoseconds
    device: str | None
    is_tick: bool
    body: bytes


@dataclass(eq=False)
class Reading:
    device_id: str
    delivery_id: str
    occurred_at: int
    enqueued_at: int
    sequence_number: int
    replayed: bool
    kind: str
    values: tuple
    hub_time: int
    unit: "Unit"

    @property
    def rank(self):
        """Of what is equal the least stays, and of what occurred at one time the least comes first."""
        return (self.enqueued_at, self.sequence_number, self.hub_time)

    @property
    def stale(self):
        """Whether it came too late, the first time or again."""
        return self.lag > STALE or self.unit.hour - self.enqueued_at > STALE_AGAIN

    @property
    def lag(self):
        return self.enqueued_at - self.occurred_at


@dataclass(eq=False)
class Unit:
    hub: str
    partition: str
    hour: int
    skipped: list = field(default_factory=list)
    events: int = 0
    repeats: int = 0
    missing: int = 0
    rejects: dict = field(default_factory=dict)  # (reason, device or None) -> (count, least sequence number)
    readings: list = field(default_factory=list)

    @property
    def complete(self):
        return not self.skipped

    @property
    def log(self):
        """The partition that it is of."""
        return (self.hub, self.partition)


def read(root, intake=telemetry.Intake(), warn=lambda text: None):
    """All units of an archive, by hub, partition and hour, with what the rules leave of their events."""
    units = []
    for folder in sorted(path for path in Path(root).rglob("*") if path.is_dir()):
        match = FOLDER.fullmatch(folder.relative_to(root).as_posix())
        if match and any(folder.glob("*.avro")):
            unit = Unit(match["hub"], match["partition"], hour_of(match))
            read_unit(folder, unit, intake, warn)
            units.append(unit)
    return units


def hour_of(match):
    days = telemetry.days_since_1970(int(match["year"]), int(match["month"]), int(match["day"]))
    return days * DAY + int(match["hour"]) * HOUR


def read_unit(folder, unit, intake, warn):
    seen = set()
    for path in sorted(folder.glob("*.avro")):
        try:
            events = list(read_file(path))
        except Exception as error:  # Whatever it is that is wrong with it: it is skipped and named.
            unit.skipped.append(path.name)
            warn(f"{path}: skipped: {type(error).__name__}")
            continue
        for event in events:
            key = (event.hub_time, event.sequence_number)
            if key in seen:
                unit.repeats += not event.is_tick
                continue
            seen.add(key)
            if not event.is_tick:
                unit.events += 1
                take(unit, event, intake)
    numbers = [number for _, number in sorted(seen)]
    # A number that falls is of a hub that was made anew.
    unit.missing = sum(max(0, after - before - 1) for before, after in zip(numbers, numbers[1:]))
    kept = settled(unit.readings)
    unit.repeats += len(unit.readings) - len(kept)
    unit.readings = kept


def read_file(path):
    with open(path, "rb") as file:
        records = fastavro.reader(file)
        if [column["name"] for column in records.writer_schema["fields"]] != COLUMNS:
            raise ValueError("another schema")
        for record in records:
            system, properties = record["SystemProperties"], record["Properties"]
            millis = system.get("x-opt-enqueued-time")
            if not isinstance(millis, int):
                raise ValueError("an event without an exact time")
            taken_at = millis * 1_000_000
            first = properties.get("first-enqueued-at")
            first = telemetry.iso_time_of(first) if isinstance(first, str) else None
            if first is not None:
                taken_at = min(taken_at, first)
            device = system.get("iothub-connection-device-id")
            device = device if isinstance(device, str) else None
            body = record["Body"] or b""
            is_tick = device is None and body == b"{}"
            yield Event(record["SequenceNumber"], millis * 1_000, taken_at, device, is_tick, body)


def take(unit, event, intake):
    try:
        read = telemetry.parse(event.body, event.taken_at, event.device, intake)
    except telemetry.Reject as reject:
        key = (reject.reason, reject.device_id)
        count, least = unit.rejects.get(key, (0, event.sequence_number))
        unit.rejects[key] = (count + 1, min(least, event.sequence_number))
        return
    enqueued_at = event.taken_at // 1_000
    unit.readings.append(
        Reading(
            device_id=read.device_id,
            delivery_id=read.delivery_id,
            occurred_at=read.occurred_at // 1_000,
            enqueued_at=enqueued_at,
            sequence_number=event.sequence_number,
            replayed=enqueued_at < event.hub_time,
            kind=read.kind,
            values=read.values,
            hub_time=event.hub_time,
            unit=unit,
        )
    )


def settled(readings):
    """One of equal readings, in the order of the tables."""
    stays = {}
    for reading in readings:
        key = (reading.device_id, reading.delivery_id, reading.kind, reading.occurred_at, reading.values)
        if key not in stays or reading.rank < stays[key].rank:
            stays[key] = reading
    return sorted(stays.values(), key=lambda reading: (reading.device_id, reading.occurred_at, reading.sequence_number))
