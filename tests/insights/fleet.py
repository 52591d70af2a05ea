"""The figures of fleet.json: of each hour, and of the day."""

import math
from collections import Counter, defaultdict

import h3

from archive import CADENCE, DAY, HOUR, SECOND
from facts import LONGEST_SPAN, iso, meters, pairs

LOST = 24 * HOUR
SLOW = 1.5
HOT_SPOTS = 200
DAYS_AROUND = 4
PHASES = {"toPickUp": "to_pick_up_s", "loaded": "loaded_s", "return": "return_s", "delivery": "delivery_s"}
SECONDS = {
    "departed": "departed_s",
    "inFlight": "in_flight_s",
    "pickedUp": "picked_up_s",
    "droppedOff": "dropped_off_s",
    "arrived": "arrived_s",
    "unknown": "unknown_s",
}


def percentile(values, p):
    """Exact: the value at rank ceil(p/100 * n), counted from 1."""
    ordered = sorted(values)
    return ordered[-(-p * len(ordered) // 100) - 1] if ordered else None


def fleet(date, units, deliveries, drone_hours, as_of):
    """`date` is a day's begin. `as_of` is what `lost` counts from, and up to where hours can be complete."""
    deliveries = [row for row in deliveries if abs(row["day"] - date) <= DAYS_AROUND * DAY]
    hours = []
    for hour in range(date, date + DAY, HOUR):
        figures = of(hour, hour + HOUR, units, deliveries, drone_hours, as_of)
        if figures is not None:
            complete = hour + HOUR <= as_of and is_complete(hour, units, deliveries, drone_hours)
            hours.append({"hour": iso(hour) + "Z", "complete": complete, **figures})
    ended = [row for row in deliveries if date <= row["ended_at"] < date + DAY]
    day = {"slow": slow(ended), **(of(date, date + DAY, units, deliveries, drone_hours, as_of) or {})}
    return {
        "schema": 1,
        "date": iso(date)[:10],
        "asOf": iso(as_of) + "Z",
        "complete": date + DAY <= as_of and all(hour["complete"] for hour in hours),
        "hours": hours,
        "day": day,
        "hotSpots": hot_spots([unit for unit in units if date <= unit.hour < date + DAY], ended),
    }


def is_complete(hour, units, deliveries, drone_hours):
    return (
        all(unit.complete for unit in units if unit.hour == hour)
        and all(row["complete"] for row in drone_hours if row["hour"] == hour)
        and all(
            row["complete"]
            for row in deliveries
            if row["ended_at"] // HOUR * HOUR == hour or row["first_at"] // HOUR * HOUR == hour
        )
    )


def of(begin, end, units, deliveries, drone_hours, as_of):
    """The figures of a span of time; `None` where nothing is known of it."""
    units = [unit for unit in units if begin <= unit.hour < end]
    started = [row for row in deliveries if begin <= row["first_at"] < end]
    ended = [row for row in deliveries if begin <= row["ended_at"] < end]
    drone_hours = [row for row in drone_hours if begin <= row["hour"] < end]
    if not (units or started or ended or drone_hours):
        return None

    lost = [row for row in ended if row["outcome"] == "open" and row["last_at"] <= as_of - LOST]
    outcomes = Counter(row["outcome"] for row in ended)
    delivered = [row for row in ended if row["outcome"] == "delivered"]
    measured = [row for row in ended if row["battery_used"] is not None and row["distance_m"] > 0]
    battery = math.fsum(row["battery_used"] for row in measured)
    kilometers = math.fsum(row["distance_m"] for row in measured) / 1_000
    seconds = {name: math.fsum(row[column] for row in drone_hours) for name, column in SECONDS.items()}
    known = math.fsum(seconds[name] for name in seconds if name != "unknown")
    return {
        "deliveries": {
            "started": len(started),
            "delivered": outcomes["delivered"],
            "inferred": outcomes["inferred"],
            "returned": outcomes["returned"],
            "open": outcomes["open"] - len(lost),
            "lost": len(lost),
        },
        "phases": {name: phase(delivered, column) for name, column in PHASES.items()},
        "distanceKm": math.fsum(row["distance_m"] for row in drone_hours) / 1_000,
        "batteryPerKm": battery / kilometers if kilometers > 0 else None,
        "drones": len({row["device_id"] for row in drone_hours}),
        "seconds": seconds,
        "utilisation": (known - seconds["arrived"]) / known if known > 0 else None,
        "quality": quality(units),
    }


def flat(figures, prefix=""):
    """One row of fleet.parquet: a figure's name is its path in snake_case; of rejects, how many there are."""
    row = {}
    for name, value in figures.items():
        name = prefix + "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
        if name == "quality_rejects":
            row[name] = sum(value.values())
        elif isinstance(value, dict):
            row |= flat(value, name + "_")
        else:
            row[name] = value
    return row


def phase(delivered, column):
    values = [row[column] for row in delivered if row[column] is not None]
    return {"count": len(values), **{f"p{p}": percentile(values, p) for p in (50, 95, 99)}}


def quality(units):
    rejects = Counter()
    for unit in units:
        for (reason, _), (count, _) in unit.rejects.items():
            rejects[reason] += count
    readings = [reading for unit in units for reading in unit.readings]
    lags = [rounded(reading.lag) for reading in readings if not reading.replayed]
    expected, found = 0, 0
    for unit in units:
        times = defaultdict(list)
        for reading in unit.readings:
            if reading.occurred_at // HOUR * HOUR == unit.hour:
                times[reading.device_id, reading.kind].append(reading.occurred_at)
        for (_, kind), of_drone in times.items():
            expected += (max(of_drone) - min(of_drone)) // CADENCE[kind] + 1
            found += len(of_drone)
    return {
        "events": sum(unit.events for unit in units),
        "repeats": sum(unit.repeats for unit in units),
        "missing": sum(unit.missing for unit in units),
        "stale": sum(reading.stale for reading in readings),
        "replayed": sum(reading.replayed for reading in readings),
        "rejects": dict(sorted(rejects.items())),
        "completeness": found / expected if expected > 0 else None,
        "lagP50": percentile(lags, 50),
        "lagP99": percentile(lags, 99),
    }


def rounded(lag):
    """Cut to a tenth of a second below a minute, to a minute above; a drone's clock that is ahead is no lag."""
    if lag < 60 * SECOND:
        return max(0, lag) // (SECOND // 10) / 10
    return lag // (60 * SECOND) * 60.0


def slow(ended):
    """How many took longer than is usual for the way from pick-up to drop-off."""
    bands = defaultdict(list)
    for row in ended:
        if row["outcome"] == "delivered" and row["delivery_s"] is not None and row["pick_up_h3"] is not None:
            begin = row["pick_up_latitude"], row["pick_up_longitude"]
            end = row["drop_off_latitude"], row["drop_off_longitude"]
            bands[int(meters(begin, end) // 1_000)].append(row["delivery_s"])
    return sum(took > SLOW * percentile(band, 50) for band in bands.values() for took in band)


def cells(unit):
    """Microseconds of flight by cell: from each row of a unit's flight to the next, where that is of the same delivery."""
    flown = Counter()
    for one, other in pairs([reading for reading in unit.readings if reading.kind == "flight"]):
        same = (one.device_id, one.delivery_id) == (other.device_id, other.delivery_id)
        if same and not one.stale and not other.stale:
            flown[h3.latlng_to_cell(*one.values[:2], 8)] += min(other.occurred_at - one.occurred_at, LONGEST_SPAN)
    return flown


def hot_spots(units, ended):
    flight = sum((cells(unit) for unit in units), Counter())
    return {
        "pickUps": largest(Counter(row["pick_up_h3"] for row in ended if row["pick_up_h3"]), "count"),
        "dropOffs": largest(Counter(row["drop_off_h3"] for row in ended if row["drop_off_h3"]), "count"),
        "flight": [
            {"cell": spot["cell"], "seconds": spot["seconds"] / SECOND} for spot in largest(flight, "seconds")
        ],
    }


def largest(counted, name):
    ordered = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return [{"cell": cell, name: count} for cell, count in ordered[:HOT_SPOTS]]
