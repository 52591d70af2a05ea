"""What follows from readings: deliveries, and the hours of drones. One row is one dict, by the columns of INSIGHTS.md."""

import datetime
import math
from bisect import bisect_left
from collections import defaultdict

import h3

from archive import DAY, HOUR, SECOND, settled

EARTH = 6_371_008.8
LONGEST_STEP = 60 * SECOND  # what is flown in one line
FASTEST = 100  # m/s
LONGEST_SPAN = 30 * SECOND  # what a status is believed for
LONGEST_DRAIN = 15 * 60 * SECOND
LATE = 60 * SECOND
DELIVERY_DAYS = 4
MOST_FOLDERS = 12

SPANS = {
    "departedStation": "departed_s",
    "inFlight": "in_flight_s",
    "pickedUpPackage": "picked_up_s",
    "droppedOffPackage": "dropped_off_s",
    "arrivedAtStation": "arrived_s",
}


def in_order(readings, kind):
    chosen = [reading for reading in readings if reading.kind == kind]
    return sorted(chosen, key=lambda reading: (reading.occurred_at, reading.rank))


def pairs(ordered):
    return zip(ordered, ordered[1:])


def meters(one, other):
    """The great circle between two places, by haversine."""
    (lat1, lon1), (lat2, lon2) = [[math.radians(degrees) for degrees in place] for place in (one, other)]
    a = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH * math.asin(min(1, math.sqrt(a)))


def step(one, other):
    """Meters between two flight readings, and whether no drone flies so fast."""
    distance = meters(one.values[:2], other.values[:2])
    return distance, distance > FASTEST * (other.occurred_at - one.occurred_at) / SECOND


def folders(readings):
    """The first folders that have something of a fact, those that only repeat it among them: it is made of these."""
    units = {reading.unit.hour: reading.unit for reading in readings}
    return [units[hour] for hour in sorted(units)][:MOST_FOLDERS]


def sources(units):
    return {"sources": " ".join(hour_name(unit.hour) for unit in units), "complete": all(unit.complete for unit in units)}


def hour_name(at):
    """`2026-11-29T14`"""
    return iso(at)[:13]


def iso(at):
    return (datetime.datetime(1970, 1, 1) + datetime.timedelta(microseconds=at)).isoformat()


# Deliveries.


def deliveries(parts):
    """The rows of one partition, in order."""
    rows = [delivery(part) for part in parts]
    return sorted(rows, key=lambda row: (row["device_id"], row["delivery_id"], row["first_hour"]))


def delivery_parts(units):
    """What each row of one partition is made of."""
    by_delivery = defaultdict(lambda: defaultdict(list))
    for unit in units:
        for reading in unit.readings:
            if not reading.stale:
                by_delivery[reading.device_id, reading.delivery_id][unit.hour].append(reading)
    return [part for by_hour in by_delivery.values() for part in by_days(by_hour)]


def by_days(by_hour):
    """Folder by folder, in their order: each is put to the rows that lie within four days of one of its readings."""
    parts = []
    for _, readings in sorted(by_hour.items()):
        days = {reading.enqueued_at // DAY for reading in readings}
        apart = []
        for part in parts:
            if any(abs(day_of(part) - day) <= DELIVERY_DAYS for day in days):
                readings = part + readings
            else:
                apart.append(part)
        units = folders(readings)
        parts = [*apart, [reading for reading in readings if reading.unit in units]]
    return parts


def day_of(readings):
    """Under which day a row lies: that on which the first of its readings was enqueued."""
    return min(reading.enqueued_at for reading in readings) // DAY


def delivery(part):
    """A row, and beside its columns the `day` that it lies under."""
    units, readings = folders(part), settled(part)
    flight, operating = in_order(readings, "flight"), in_order(readings, "operating")
    statuses = [reading.values[5] for reading in flight]

    def first(status, begin=0):
        return next((at for at in range(begin, len(flight)) if statuses[at] == status), None)

    departed, picked_up, dropped_off = first("departedStation"), first("pickedUpPackage"), first("droppedOffPackage")
    after = picked_up if dropped_off is None else dropped_off
    arrived = None if after is None else first("arrivedAtStation", after)
    if arrived is None:
        arrived = first("arrivedAtStation")

    if dropped_off is not None:
        outcome = "delivered"
    elif picked_up is not None and first("arrivedAtStation", picked_up) is not None:
        outcome = "inferred"
    elif picked_up is None and arrived is not None:
        outcome = "returned"
    else:
        outcome = "open"

    def at(index):
        return None if index is None else flight[index].occurred_at

    def gap(index):
        return seconds(flight[index - 1].occurred_at, flight[index].occurred_at) if index else None

    distance, chord, jumps = 0.0, 0.0, 0
    for one, other in pairs(flight):
        length, jump = step(one, other)
        if jump:
            jumps += 1
        elif other.occurred_at - one.occurred_at <= LONGEST_STEP:
            distance += length
        else:
            chord += length

    used = [reading for reading in operating if arrived is None or reading.occurred_at < at(arrived)]
    times = [reading.occurred_at for reading in readings]
    gaps = [seconds(one.occurred_at, other.occurred_at) for one, other in pairs(flight)]
    ended = next((at(index) for index in (dropped_off, arrived) if index is not None), max(times))
    return {
        "day": day_of(readings) * DAY,
        "device_id": readings[0].device_id,
        "delivery_id": readings[0].delivery_id,
        "first_at": min(times),
        "last_at": max(times),
        "departed_at": at(departed),
        "picked_up_at": at(picked_up),
        "dropped_off_at": at(dropped_off),
        "arrived_at": at(arrived),
        "departed_gap_s": gap(departed),
        "picked_up_gap_s": gap(picked_up),
        "dropped_off_gap_s": gap(dropped_off),
        "arrived_gap_s": gap(arrived),
        "ended_at": ended,
        "outcome": outcome,
        "to_pick_up_s": seconds(at(departed), at(picked_up)),
        "loaded_s": seconds(at(picked_up), at(dropped_off)),
        "return_s": seconds(at(dropped_off), at(arrived)),
        "delivery_s": seconds(at(departed), at(dropped_off)),
        "distance_m": distance,
        "chord_m": chord,
        "jumps": jumps,
        "battery_used": used[0].values[1] - used[-1].values[1] if len(used) >= 2 else None,
        **place("pick_up", flight, picked_up),
        **place("drop_off", flight, dropped_off),
        "flight_readings": len(flight),
        "operating_readings": len(operating),
        "max_gap_s": max(gaps, default=None),
        "replayed": sum(reading.replayed for reading in readings),
        "first_hour": units[0].hour,
        "last_hour": units[-1].hour,
        **sources(units),
    }


def seconds(begin, end):
    if begin is None or end is None or end < begin:
        return None
    return (end - begin) / SECOND


def place(name, flight, index):
    if index is None:
        return {f"{name}_latitude": None, f"{name}_longitude": None, f"{name}_h3": None}
    latitude, longitude = flight[index].values[:2]
    cell = h3.latlng_to_cell(latitude, longitude, 9)
    return {f"{name}_latitude": latitude, f"{name}_longitude": longitude, f"{name}_h3": cell}


# Drones by hours of occurrence.


def drone_hours(units):
    """The rows of one partition, in order. A row is made of the hour's readings, and of those before it within margins."""
    by_hour = defaultdict(list)
    for unit in units:
        for reading in unit.readings:
            if not reading.stale:
                by_hour[reading.device_id, reading.occurred_at // HOUR * HOUR].append(reading)
    rows = []
    for (device_id, hour), readings in sorted(by_hour.items()):
        around = []
        for of_hour in (by_hour.get((device_id, hour - HOUR), []), readings):
            units = folders(of_hour)
            around += [reading for reading in of_hour if reading.unit in units]
        rows.append(drone_hour(device_id, hour, settled(around), folders(readings)))
    return rows


def drone_hour(device_id, hour, readings, units):
    flight, operating = in_order(readings, "flight"), in_order(readings, "operating")

    def looked_at(ordered, margin):
        begin = bisect_left(ordered, hour - margin, key=lambda reading: reading.occurred_at)
        return ordered[begin:]

    row = {"device_id": device_id, "hour": hour}
    spans = dict.fromkeys(SPANS, 0)
    flown = looked_at(flight, LONGEST_STEP)
    for one, other in zip(flown, [*flown[1:], None]):
        end = min(hour + HOUR, one.occurred_at + LONGEST_SPAN, *([other.occurred_at] if other else []))
        spans[one.values[5]] += max(0, end - max(one.occurred_at, hour))
    row |= {SPANS[status]: span / SECOND for status, span in spans.items()}
    distance, jumps = 0.0, 0
    for one, other in pairs(flown):
        if other.occurred_at >= hour and other.occurred_at - one.occurred_at <= LONGEST_STEP:
            length, jump = step(one, other)
            jumps += jump
            distance += 0 if jump else length
    used, charged = 0.0, 0.0
    for one, other in pairs(looked_at(operating, LONGEST_DRAIN)):
        if other.occurred_at >= hour and other.occurred_at - one.occurred_at <= LONGEST_DRAIN:
            used += max(0.0, one.values[1] - other.values[1])
            charged += max(0.0, other.values[1] - one.values[1])
    own_flight, own_operating = looked_at(flight, 0), looked_at(operating, 0)
    own = own_flight + own_operating
    return row | {
        "unknown_s": (HOUR - sum(spans.values())) / SECOND,
        "distance_m": distance,
        "jumps": jumps,
        "battery_used": used,
        "battery_charged": charged,
        "temperature_max": max((reading.values[0] for reading in own_operating), default=None),
        "flight_readings": len(own_flight),
        "operating_readings": len(own_operating),
        "late": sum(reading.lag > LATE for reading in own),
        **sources(units),
    }
