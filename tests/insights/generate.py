#!/usr/bin/env python3
"""An archive as nobody wishes for it, to hold two implementations of the insights against each other.

    generate.py --out DIR [--seed N] [--drones N] [--hours N] [--partitions N] [--calm]

The same options make the same files. Beside ordinary flights: readings lost, late, stale, sent twice, of one time, with
clocks that are wrong; replays with and without what they repeat, minutes and weeks later; every reason to reject; ticks and what looks like
one; files archived again with other boundaries, and damaged ones; two drones on one delivery, deliveries that never end,
end twice, or go on for days. `--calm` leaves all of that out but the flights.
"""

import argparse
import io
import json
import math
import random
import sys
import zlib
from dataclasses import dataclass, field
from pathlib import Path

try:
    import fastavro
    import fastavro._write
except ImportError:
    print(f"fastavro is missing: pip install -r {Path(__file__).parent / 'requirements.txt'}", file=sys.stderr)
    sys.exit(2)

from facts import iso

SCHEMA = fastavro.parse_schema({
    "type": "record",
    "name": "EventData",
    "namespace": "Microsoft.ServiceBus.Messaging",
    "fields": [
        {"name": "SequenceNumber", "type": "long"},
        {"name": "Offset", "type": "string"},
        {"name": "EnqueuedTimeUtc", "type": "string"},
        {"name": "SystemProperties", "type": {"type": "map", "values": ["long", "double", "string", "bytes"]}},
        {"name": "Properties", "type": {"type": "map", "values": ["long", "double", "string", "bytes", "null"]}},
        {"name": "Body", "type": ["null", "bytes"]},
    ],
})

MS, SECOND, HOUR, DAY = 1_000, 1_000_000, 3_600_000_000, 86_400_000_000  # in microseconds
START = 1_795_905_000 * SECOND  # 2026-11-28T22:30:00Z, so that two hours later another day has begun


def deflate_block(file, block, level):
    """As the specification has it. fastavro leaves three bytes of a checksum behind the data, which strict readers refuse."""
    deflate = zlib.compressobj(wbits=-15)
    data = deflate.compress(block) + deflate.flush()
    size = len(data) << 1  # a zigzag number of seven bits a byte
    while size >= 0x80:
        file.write(bytes([size & 0x7F | 0x80]))
        size >>= 7
    file.write(bytes([size]) + data)


fastavro._write.BLOCK_WRITERS["deflate"] = deflate_block


@dataclass
class Sent:
    """An event on its way to the hub."""

    at: int  # when the hub takes it, microseconds
    body: bytes
    device: str | None
    properties: dict = field(default_factory=dict)
    system: dict = field(default_factory=dict)
    lost: bool = False  # after the hub: its number is missing in the archive


class Drone:
    """Flies from its station to a pick-up, a drop-off and back, and charges there, again and again."""

    def __init__(self, name, place, rng, calm):
        self.name, self.rng, self.calm = name, rng, calm
        self.station = place
        self.battery = 1.0
        self.skew = 0 if calm else rng.choice([0, 0, 0, 0, 240 * SECOND, -700 * SECOND, 30 * MS])
        self.authenticated = calm or rng.random() < 0.7

    def fly(self, begin, end):
        at = begin + self.rng.randrange(5 * SECOND)
        while at < end:
            plan = Plan(self, at)
            yield from plan.events(end)
            at = plan.end


class Plan:
    """One delivery."""

    def __init__(self, drone, begin):
        rng = drone.rng
        self.drone, self.begin, self.rng = drone, begin, rng
        self.delivery = "%08x-%04x" % (rng.getrandbits(32), rng.getrandbits(16))
        if not drone.calm and rng.random() < 0.1:
            self.delivery = f"shared-{begin // (HOUR // 2)}"
        pick_up, drop_off = near(drone.station, rng), near(drone.station, rng)
        self.stops = [drone.station, pick_up, drop_off, drone.station]
        self.legs = [rng.randrange(60, 400) * SECOND for _ in range(3)]
        self.charge = rng.randrange(30, 200) * SECOND
        self.end = begin + sum(self.legs) + self.charge
        # What is never heard of: a status, or everything for a while.
        self.unheard = None if drone.calm or rng.random() < 0.8 else rng.randrange(5)
        silence = begin + rng.randrange(max(1, self.end - begin))
        length = 0 if drone.calm or rng.random() < 0.7 else rng.choice([20, 60, 65, 130, 1_000]) * SECOND
        self.silence = (silence, silence + length)
        self.aborted = not drone.calm and rng.random() < 0.08

    def events(self, end):
        step, operating, level = 5 * SECOND, 0, self.drone.battery
        at = self.begin
        while at < min(self.end, end):
            place, status, flying = self.at(at)
            if self.aborted and status >= 2:
                status, place = 4, self.stops[0]
            level = max(0.0, level - 0.0004) if flying else min(1.0, level + 0.01)
            if not self.silence[0] <= at < self.silence[1]:
                if status != self.unheard:
                    yield at, self.flight(at, place, status)
                if operating % 4 == 0:
                    yield at, self.operating(at, round(level, 4))
            operating += 1
            # Where everything is on time, to the second; elsewhere to a tenth of a microsecond.
            at += step if self.drone.calm else step + self.rng.choice([0, 0, 0, 1, 1_234, -250_000])
        self.drone.battery = level

    def at(self, at):
        passed = at - self.begin
        for leg, length in enumerate(self.legs):
            if passed < length:
                share = passed / length
                (lat1, lon1), (lat2, lon2) = self.stops[leg], self.stops[leg + 1]
                place = (lat1 + (lat2 - lat1) * share, lon1 + (lon2 - lon1) * share)
                status = [0, 2, 3][leg] if passed < 15 * SECOND else 1
                return place, status, True
            passed -= length
        return self.stops[3], 4, False

    def flight(self, at, place, status):
        rng = self.rng
        latitude, longitude = place
        if not self.drone.calm and rng.random() < 0.002:
            latitude = max(-90, min(90, latitude + 1))  # a jump
        position = f"{latitude:.6f}|{wrapped(longitude):.6f}|{rng.uniform(20, 120):.2f}"
        if rng.random() < 0.5:
            values = {"velocity": f"{rng.uniform(0, 20):.2f}", "flightStatus": str(status)}
        else:
            values = {"velocity": round(rng.uniform(0, 20), 2), "flightStatus": status}
        return self.head(at, "drone-event-sensor;v1") | values | {
            "acceleration": f"{rng.uniform(-2, 2):+.2f}",
            "position": position,
        }

    def operating(self, at, level):
        status = next(
            name
            for limit, name in ((0, "dead"), (0.1, "Critical"), (0.3, "low"), (0.5, "MEDIUM"), (0.99, "high"), (1, "full"))
            if level <= limit
        )
        return self.head(at, "drone-state-sensor;v1") | {
            "temperature": round(self.rng.uniform(20, 130), 2),
            "batteryLevel": level,
            "batteryStatus": status,
        }

    def head(self, at, sensor):
        return {
            "deviceId": self.drone.name,
            "deliveryId": self.delivery,
            "sensorType": sensor,
            "occurrenceUtcTime": written(at + self.drone.skew, self.rng),
        }


def near(place, rng):
    return place[0] + rng.uniform(-0.03, 0.03), place[1] + rng.uniform(-0.03, 0.03)


def wrapped(longitude):
    return (longitude + 180) % 360 - 180


def written(at, rng):
    """A time in one of the shapes that drones send."""
    text = iso(at // SECOND * SECOND)
    if at % SECOND == 0 and rng.random() < 0.5:
        return f"{text[5:7]}/{text[8:10]}/{text[:4]} {text[11:]} +00:00"
    if at % SECOND == 0 and rng.random() < 0.3:
        return iso(at // SECOND * SECOND + 2 * HOUR) + "+02:00"
    # Beyond microseconds, as .NET has it: one tenth more or less is the same microsecond.
    return f"{text}.{at % SECOND:06d}{rng.choice(['', '0', '3', '7'])}Z"


def encoded(body, rng):
    text = json.dumps(body)
    return (text[:-1] + ",}" if rng.random() < 0.05 else text).encode()


def fleet(options, rng, partition):
    """What the drones of one partition send."""
    places = [(47.6, -122.3), (-33.9, 18.4), (0.0, 179.99), (89.98, 10.0)]
    # With characters that sort in another way in other alphabets.
    names = ["drone-{p}-{n}", "Drone.{p}:{n}", "drone_{p}'{n}", "DRONE#{p}%{n}"]
    for number in range(options.drones):
        calm = options.calm
        place = places[0] if calm else places[number % 4 if number % 9 == 0 else 0]
        name = names[0 if calm else number % len(names)].format(p=partition, n=number)
        drone = Drone(name, near(place, rng), rng, calm)
        for at, body in drone.fly(START, START + options.hours * HOUR):
            yield from arrive(at, body, drone, options, rng)


def arrive(at, body, drone, options, rng):
    lag = int(rng.expovariate(1) * 300 * MS) + 20 * MS
    event = Sent(at + lag, encoded(body, rng), drone.name if drone.authenticated else None)
    if options.calm:
        yield event
        return
    chance = rng.random()
    if chance < 0.01:
        return  # never sent
    if chance < 0.015:
        event.lost = True
    elif chance < 0.03:
        event.at += rng.choice([10, 59, 61, 600, 4_000]) * SECOND
    elif chance < 0.0315:
        event.at += rng.choice([72 * HOUR - lag, 73 * HOUR, 100 * HOUR])  # just not stale, and stale
    yield event
    if event.at - at > 72 * HOUR:
        return
    chance = rng.random()
    if chance < 0.01:  # the device sends it again
        yield Sent(event.at + rng.randrange(1, 7_200) * SECOND, event.body, event.device)
    elif chance < 0.03:  # it is replayed, also where the archive has lost it
        yield replayed(event, rng)
    elif chance < 0.035:  # another reading of the same time
        other = dict(body)
        if "velocity" in other:
            other["velocity"] = 3.25
        else:
            other["temperature"] = 33.25
        yield Sent(event.at + rng.choice([0, 1_000_000]), encoded(other, rng), event.device)


def replayed(event, rng):
    return again(event, event.at + rng.choice([60 * SECOND, HOUR, 5 * HOUR, 30 * HOUR, 9 * DAY]))


def again(event, at):
    first = iso(event.at // SECOND * SECOND) + f".{event.at % SECOND // 1000:03d}Z"
    return Sent(at, event.body, event.device, {"first-enqueued-at": first})


def oddities(options, rng, partition):
    """What is wrong in itself, and what is at the edges."""
    end = options.hours * HOUR
    good = {
        "deviceId": f"odd-{partition}", "deliveryId": "odd", "sensorType": "drone-state-sensor;v1",
        "temperature": 20, "batteryLevel": 0.5, "batteryStatus": "medium",
    }

    def at():
        return START + rng.randrange(end)

    def body(time, **changes):
        made = good | {"occurrenceUtcTime": iso(time // SECOND * SECOND) + "Z"} | changes
        return json.dumps({name: value for name, value in made.items() if value is not None}).encode()

    def sent(time, changes, device=None, properties={}):
        return Sent(time, body(time, **changes), device, dict(properties))

    wrong = [
        {"deviceId": None}, {"deviceId": "a b"}, {"deviceId": 7}, {"deliveryId": None}, {"batteryLevel": 1.5},
        {"batteryLevel": "half"}, {"temperature": "1e999"}, {"batteryStatus": "fine"}, {"sensorType": "other;v1"},
        {"occurrenceUtcTime": "1970-01-01T00:00:00Z"}, {"occurrenceUtcTime": "yesterday"},
        {"occurrenceUtcTime": "2026-11-29T25:00:00Z"}, {"deviceId": "x" * 129},
    ]
    for _ in range(3):
        for changes in wrong:
            yield sent(at(), changes)
        for raw in (b"", b"{", b"[1]", b"\xff\xfe{}", b"{}", b'{"deviceId":"twice","deviceId":"twice"}', b'{"deviceId":"named"}'):
            yield Sent(at(), raw, None)
        time = at()
        yield sent(time, {}, device="somebody-else")
        yield Sent(time, body(time + 301 * SECOND), None)
        # Just not too far ahead, which its first time then makes it.
        ahead = Sent(time // SECOND * SECOND, body(time + 300 * SECOND), None)
        yield ahead
        yield Sent(ahead.at + HOUR, ahead.body, None, {"first-enqueued-at": iso(ahead.at - SECOND) + "Z"})
        # First times that are none, or later than the hub's.
        for first in ("soon", "2126-01-01T00:00:00Z", 7, None, b"2026-11-28T00:00:00Z"):
            yield sent(at(), {"deliveryId": "first-times"}, properties={"first-enqueued-at": first})
        # Ticks, and what looks like one.
        yield Sent(at(), b"{}", None, {"watermark-tick": "1"})
        yield Sent(at(), b"{}", "odd", {"watermark-tick": "1"})
        yield Sent(at(), b"{ }", None, {"watermark-tick": "1"})
    yield from replayed_late(partition)
    # A delivery that goes on for days: four of them are one row, and what comes long after is another.
    for hours in (0, 40, 95, 300):
        for second in range(0, 60, 5):
            time = START + hours * HOUR + second * SECOND
            yield Sent(time + SECOND, flight(time, f"long-{partition}", "long", 0.0001 * second, second // 15), None)
    # Two places at one time, one place at one time, and statuses out of their order.
    time = START + HOUR
    for step, (place, status) in enumerate([(0.1, 0), (0.1, 4), (0.2, 4), (0.2, 2), (0.2, 4), (0.2, 3), (0.2, 3), (0.2, 1), (0.2, 4)]):
        moment = time + step // 2 * SECOND
        yield Sent(time + step * SECOND, flight(moment, f"ties-{partition}", "ties", place, status, velocity=step), None)
    # At the station before the delivery began: with a drop-off nobody saw, and with no return after the pick-up.
    for device, statuses in (("unseen-drop", (4, 0, 2, 4)), ("unseen-return", (4, 0, 2))):
        for step, status in enumerate(statuses):
            moment = START + 2 * HOUR + step * 20 * SECOND
            yield Sent(moment + SECOND, flight(moment, f"{device}-{partition}", device, step * 1e-3, status), None)
            yield Sent(moment + SECOND, body(moment, deviceId=f"{device}-{partition}", deliveryId=device, batteryLevel=0.9 - step / 10), None)
    # Around the hour's end, in exactly and in just more than the margins.
    for device, offsets in (("edge-a", (-60, 0, 30)), ("edge-b", (-61, 0, 61)), ("edge-c", (-29, 2)), ("edge-d", (-1, 40))):
        for offset in offsets:
            time = START // HOUR * HOUR + HOUR + offset * SECOND
            yield Sent(time + SECOND, flight(time, f"{device}-{partition}", device, offset * 1e-5, 1), None)
    for offset, level in ((-901, 0.9), (-900, 0.8), (0, 0.7), (900, 0.75), (1801, 0.1)):
        time = START // HOUR * HOUR + HOUR + offset * SECOND
        yield Sent(time + SECOND, body(time, deviceId=f"drain-{partition}", batteryLevel=level), None)


def replayed_late(partition):
    """What comes again after so many days that no folder near it has the first: it belongs to the row that there is."""

    def flown(name, begin, **more):
        for step, status in enumerate((0, 1, 2, 1, 3, 1, 4)):
            moment = begin + step * 30 * SECOND
            yield Sent(moment + SECOND, flight(moment, f"{name}-{partition}", name, step * 1e-4, status), None, **more)

    # All of a delivery twice, the last of it a third time; another day has begun within it.
    for step, event in enumerate(flown("again", START + HOUR + HOUR // 2 - 90 * SECOND)):
        yield event
        yield again(event, event.at + 6 * DAY)
        if step > 3:
            yield again(event, event.at + 20 * DAY)
    # Of which the archive has lost the first, or half of it.
    for step, event in enumerate(flown("lost-first", START + 50 * SECOND, lost=True)):
        yield event
        yield again(event, event.at + 7 * DAY + HOUR)
    for step, event in enumerate(flown("lost-half", START + 55 * SECOND)):
        event.lost = step < 3
        yield event
        yield again(event, event.at + 11 * DAY)
    # Silent for so long that it is two rows, until both come again in one hour.
    for hours in (0, 200):
        for event in flown("bridged", START + hours * HOUR):
            yield event
            yield again(event, START + 320 * HOUR + event.at % HOUR)
    # In a folder that begins 30 days after the first time, and just more than that.
    begin = START // HOUR * HOUR + HOUR
    for name, at, later in (
        ("month", begin, 30 * DAY), ("month-less", begin - MS, 30 * DAY - HOUR),
        ("month-more", begin - MS, 30 * DAY + 30 * SECOND), ("month-ever", begin + SECOND, 60 * DAY),
    ):
        for lost in (False, True):
            name += "-lost" if lost else ""
            event = Sent(at, flight(begin - 5 * SECOND, f"{name}-{partition}", name, 0, 1), None, lost=lost)
            yield event
            yield again(event, at + later)


def flight(time, device, delivery, latitude, status, velocity=1):
    return json.dumps({
        "deviceId": device, "deliveryId": delivery, "sensorType": "drone-event-sensor;v1", "velocity": velocity,
        "acceleration": 0, "flightStatus": status, "position": f"{latitude:.6f}|8.5|20",
        "occurrenceUtcTime": iso(time // SECOND * SECOND) + "Z",
    }).encode()


# The hub and the archive.


def archive(events, hub, partition, options, rng, out):
    events = sorted(events, key=lambda event: event.at)
    records, number = [], rng.randrange(1_000_000)
    for event in events:
        millis = event.at // MS
        system = {"x-opt-enqueued-time": millis, "x-opt-sequence-number": number} | event.system
        if event.device is not None:
            system |= {"iothub-connection-device-id": event.device, "iothub-connection-auth-method": "{}"}
        record = {
            "SequenceNumber": number,
            "Offset": str(number * 700),
            "EnqueuedTimeUtc": capture_time(millis),
            "SystemProperties": system,
            "Properties": event.properties,
            # Capture has null for no body.
            "Body": event.body or None,
        }
        number += 1
        if not event.lost:
            records.append((millis, record))
    by_hour = {}
    for millis, record in records:
        by_hour.setdefault(millis // 3_600_000, []).append((millis, record))
    for of_hour in by_hour.values():
        batches = list(split(of_hour, rng))
        if not options.calm and len(of_hour) > 2:
            begin = rng.randrange(len(of_hour))
            batches.append(of_hour[begin : begin + rng.randrange(1, 200)])
        for batch in batches:
            store(batch, hub, partition, options, rng, out)


def split(records, rng):
    while records:
        size = rng.randrange(1, 400)
        yield records[:size]
        records = records[size:]


def store(batch, hub, partition, options, rng, out):
    (millis, first), (_, last) = batch[0], batch[-1]
    at = iso(millis * MS)
    folder = out / hub / str(partition) / at[:4] / at[5:7] / at[8:10] / at[11:13]
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{at[14:16]}{at[17:19]}.{millis % 1000:03d}-{first['SequenceNumber']:020d}-{last['SequenceNumber']:020d}.avro"
    file = io.BytesIO()
    codec = "deflate" if rng.random() < 0.8 else "null"
    fastavro.writer(file, SCHEMA, [record for _, record in batch], codec, sync_marker=rng.randbytes(16))
    (folder / name).write_bytes(file.getvalue())


def capture_time(millis):
    at = iso(millis * MS)
    hour = int(at[11:13])
    return f"{int(at[5:7])}/{int(at[8:10])}/{at[:4]} {hour % 12 or 12}:{at[14:16]}:{at[17:19]} {'AM' if hour < 12 else 'PM'}"


def damage(out, rng):
    """One file of each hub's first partition cut short, one altered, one emptied, one of another schema: beside good ones."""
    files = sorted(out.rglob("*.avro"))
    chosen = rng.sample(files, min(4, len(files) // 10))
    for kind, path in enumerate(chosen):
        content = bytearray(path.read_bytes())
        if kind == 0:
            content = content[: len(content) * 2 // 3]
        elif kind == 1:
            content[-17] ^= 0xFF  # in the last block
            content[-1] ^= 0xFF  # in the marker after it
        elif kind == 2:
            content = b""
        else:
            other = io.BytesIO()
            fastavro.writer(other, {"type": "record", "name": "Other", "fields": [{"name": "a", "type": "long"}]}, [{"a": 1}])
            content = other.getvalue()
        path.write_bytes(content)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where to; must be empty or not exist")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--drones", type=int, default=12, help="of each partition (12)")
    parser.add_argument("--hours", type=int, default=4, help="of flights, from 2026-11-28T22:30 (4)")
    parser.add_argument("--partitions", type=int, default=2)
    parser.add_argument("--calm", action="store_true", help="ordinary flights alone")
    options = parser.parse_args()
    if options.out.exists() and any(options.out.iterdir()):
        parser.error(f"{options.out} is not empty")
    rng = random.Random(options.seed)
    total = 0
    for partition in range(options.partitions):
        events = list(fleet(options, rng, partition))
        if not options.calm:
            events += oddities(options, rng, partition)
        total += len(events)
        archive(events, "telemetry", partition, options, rng, options.out)
    if not options.calm:
        damage(options.out, rng)
    print(f"{total} events in {sum(1 for _ in options.out.rglob('*.avro'))} files")
    return 0


if __name__ == "__main__":
    sys.exit(main())
