"""An event's body, checked: the same answers as the handler's parser, from its documentation.

The first check that fails gives the reason:
1. the body is a JSON object in UTF-8 without a byte order mark; trailing commas are forgiven, a known name twice is not;
2. deviceId, and that it is the device that IoT Hub authenticated, where there is or must be one;
3. sensorType, deliveryId, occurrenceUtcTime;
4. the reading;
5. that it did not occur before drones flew, nor more than five minutes after it was enqueued.
"""

import json
import re
from dataclasses import dataclass

FLIGHT = "drone-event-sensor;v1"
OPERATING = "drone-state-sensor;v1"

STATUSES = ["departedStation", "inFlight", "pickedUpPackage", "droppedOffPackage", "arrivedAtStation"]
BATTERY_STATUSES = ["dead", "critical", "low", "medium", "high", "full"]

NANOS = 1_000_000_000
FUTURE_TOLERANCE = 5 * 60 * NANOS
EARLIEST = 1_262_304_000 * NANOS  # 2010-01-01

KNOWN = {
    "occurrenceUtcTime", "deviceId", "sensorType", "deliveryId", "velocity", "acceleration", "position",
    "flightStatus", "temperature", "batteryStatus", "batteryLevel",
}


class Reject(Exception):
    """Why an event is no reading. `device_id` is what the body names, where that could be read."""

    def __init__(self, reason, device_id=None):
        super().__init__(reason)
        self.reason = reason
        self.device_id = device_id


@dataclass(frozen=True)
class Intake:
    """What is refused by choice; the same two settings as the handler's."""

    earliest: int | None = EARLIEST
    device_required: bool = False


@dataclass
class Telemetry:
    device_id: str
    delivery_id: str
    occurred_at: int  # nanoseconds since 1970
    kind: str  # "flight" or "operating"
    values: tuple  # latitude, longitude, altitude, velocity, acceleration, status; or temperature, level, status


def parse(body, enqueued_at, authenticated_device=None, intake=Intake()):
    """A `Telemetry`, or a `Reject`. `enqueued_at` is in nanoseconds since 1970."""
    fields = fields_of(body)
    device_id = identifier(fields, "deviceId")
    try:
        return check(fields, device_id, enqueued_at, authenticated_device, intake)
    except Reject as reject:
        raise Reject(reject.reason, device_id) from None


def check(fields, device_id, enqueued_at, authenticated_device, intake):
    if intake.device_required and authenticated_device is None:
        raise Reject("device-not-authenticated")
    if authenticated_device is not None and authenticated_device != device_id:
        raise Reject("device-mismatch")
    sensor_type = text(fields, "sensorType")
    if sensor_type not in (FLIGHT, OPERATING):
        raise Reject("unsupported-sensor-type")
    delivery_id = identifier(fields, "deliveryId")
    occurred_at = time_of(text(fields, "occurrenceUtcTime"))
    if occurred_at is None:
        raise Reject("invalid-field")
    if sensor_type == FLIGHT:
        kind = "flight"
        velocity = ranged(number_text(fields, "velocity"), 0, 500)
        acceleration = ranged(number_text(fields, "acceleration"), -100, 100)
        parts = text(fields, "position").split("|")
        if len(parts) != 3:
            raise Reject("invalid-field")
        latitude = ranged(parts[0], -90, 90)
        longitude = ranged(parts[1], -180, 180)
        altitude = ranged(parts[2], -500, 20_000)
        status = number(number_text(fields, "flightStatus"))
        if status != int(status):
            raise Reject("invalid-field")
        if not 0 <= status <= 4:
            raise Reject("out-of-range")
        values = (latitude, longitude, altitude, velocity, acceleration, STATUSES[int(status)])
    else:
        kind = "operating"
        temperature = ranged(number_text(fields, "temperature"), -60, 250)
        name = text(fields, "batteryStatus")
        # Lower case of ASCII alone: other alphabets have letters that become ASCII ones.
        if not name.isascii() or name.lower() not in BATTERY_STATUSES:
            raise Reject("invalid-field")
        level = ranged(number_text(fields, "batteryLevel"), 0, 1)
        values = (temperature, level, name.lower())
    if intake.earliest is not None and occurred_at < intake.earliest:
        raise Reject("occurred-long-ago")
    if occurred_at > enqueued_at + FUTURE_TOLERANCE:
        raise Reject("occurred-in-future")
    return Telemetry(device_id, delivery_id, occurred_at, kind, values)


# The body: JSON, read without a JSON library, because the handler's keeps the text of each field as it stands, knows no
# limit of depth, and refuses what Python's forgives.

TOKEN = re.compile(
    r"""[ \t\n\r]*(?:
      (?P<string>"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*")
    | (?P<number>-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)
    | (?P<word>true|false|null)
    | (?P<mark>[][{}:,])
    | (?P<end>\Z)
    )""",
    re.VERBOSE,
)


def fields_of(body):
    """The raw JSON of each known field that is there and not null."""
    if body.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\0\0\xfe\xff")):
        raise Reject("malformed-json")
    try:
        whole = body.decode("utf-8")
    except UnicodeDecodeError:
        raise Reject("malformed-json") from None
    if not whole.lstrip(" \t\n\r").startswith("{"):
        raise Reject("malformed-json")
    fields = {}
    for key, raw in members(whole):
        if key in KNOWN:
            if key in fields:
                raise Reject("malformed-json")
            fields[key] = raw
    return {key: raw for key, raw in fields.items() if raw != "null"}


def members(whole):
    """Name and raw value of each member of the outermost object."""
    # What may come next: a value, a key, a colon, or what follows a value. Trailing commas are forgiven by letting
    # an end come where a key or a value after a comma is due.
    stack, expected, key, begin = [], "value", None, 0
    for token in tokens(whole):
        kind, sign = token.lastgroup, token.group(token.lastgroup)
        if expected in ("value", "value or end"):
            if kind == "mark":
                if sign in "[{":
                    if len(stack) == 1:
                        begin = token.start("mark")
                    stack.append(sign)
                    expected = "key or end" if sign == "{" else "value or end"
                    continue
                if sign != "]" or expected != "value or end":
                    raise Reject("malformed-json")
                stack.pop()
            elif kind == "end":
                raise Reject("malformed-json")
            elif len(stack) == 1:
                begin = token.start(kind)
        elif expected in ("key", "key or end"):
            if kind == "string":
                if len(stack) == 1:
                    key = unescaped(sign)
                    if key is None:
                        raise Reject("malformed-json")
                expected = "colon"
                continue
            if sign != "}" or kind != "mark" or expected != "key or end":
                raise Reject("malformed-json")
            stack.pop()
        elif expected == "colon":
            if sign != ":" or kind != "mark":
                raise Reject("malformed-json")
            expected = "value"
            continue
        elif expected == "more":
            if sign == "," and kind == "mark":
                expected = "key or end" if stack[-1] == "{" else "value or end"
                continue
            if kind != "mark" or sign != {"{": "}", "[": "]"}[stack[-1]]:
                raise Reject("malformed-json")
            stack.pop()
        else:  # after the document
            if kind != "end":
                raise Reject("malformed-json")
            return
        # Here a value has ended.
        if len(stack) == 1 and key is not None:
            yield key, whole[begin:token.end()]
            key = None
        expected = "more" if stack else "end"


def tokens(whole):
    at = 0
    while True:
        token = TOKEN.match(whole, at)
        if token is None:
            raise Reject("malformed-json")
        yield token
        if token.lastgroup == "end":
            return
        at = token.end()


def unescaped(raw):
    """The text of a JSON string; `None` where it holds half a surrogate pair."""
    if "\\" not in raw:
        return raw[1:-1]
    value = json.loads(raw)
    return None if any("\ud800" <= character <= "\udfff" for character in value) else value


# Single fields.

IDENTIFIER = re.compile(r"[-:.+%_#*?!(),=@;$'0-9A-Za-z]{1,128}")


def present(fields, name):
    if name not in fields:
        raise Reject("missing-field")
    return fields[name]


def text(fields, name):
    raw = present(fields, name)
    value = unescaped(raw) if raw.startswith('"') else None
    if value is None:
        raise Reject("invalid-field")
    return value


def identifier(fields, name):
    value = text(fields, name)
    if not IDENTIFIER.fullmatch(value):
        raise Reject("invalid-field")
    return value


def number_text(fields, name):
    raw = present(fields, name)
    if raw[0] in "-0123456789":
        return raw
    return text(fields, name)


NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")


def number(written):
    written = written.strip(" \t\n\f\r")
    if written.startswith("+"):
        written = written[1:]
        if written.startswith("-"):
            raise Reject("invalid-field")
    if not NUMBER.fullmatch(written):
        raise Reject("invalid-field")
    value = float(written)
    if value in (float("inf"), float("-inf")):
        raise Reject("out-of-range")
    return value + 0.0  # never -0


def ranged(written, least, greatest):
    value = number(written)
    if not least <= value <= greatest:
        raise Reject("out-of-range")
    return value


# Times.

AMERICAN = re.compile(
    r"(?P<month>[0-9]{2})/(?P<day>[0-9]{2})/(?P<year>[0-9]{4}) "
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2}) (?P<offset>[-+][0-9]{2}:[0-9]{2})"
)
ISO = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})[Tt]"
    r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
    r"(?:\.(?P<fraction>[0-9]{1,64}))?(?P<offset>[Zz]|[-+][0-9]{2}:[0-9]{2})"
)
FIRST, LAST = -62_135_596_800 * NANOS, 253_402_300_800 * NANOS  # the years 1 to 9999


def time_of(written):
    """Nanoseconds since 1970, of either shape; `None` for what is no time."""
    match = AMERICAN.fullmatch(written)
    if match:
        return moment(match.groupdict())
    return iso_time_of(written)


def iso_time_of(written):
    match = ISO.fullmatch(written)
    return moment(match.groupdict(), leaps=True) if match else None


def moment(part, leaps=False):
    year, month, day = int(part["year"]), int(part["month"]), int(part["day"])
    hour, minute, second = int(part["hour"]), int(part["minute"]), int(part["second"])
    nanosecond = int(((part.get("fraction") or "") + "000000000")[:9])
    leap = leaps and second == 60
    if leap:
        second, nanosecond = 59, 999_999_999
    if not 1 <= month <= 12 or not 1 <= day <= days_in(year, month):
        return None
    if hour > 23 or minute > 59 or second > 59:
        return None
    offset = 0
    if part["offset"] not in "Zz":
        hours, minutes = int(part["offset"][1:3]), int(part["offset"][4:6])
        if hours > 23 or minutes > 59:
            return None
        offset = (hours * 60 + minutes) * (-1 if part["offset"][0] == "-" else 1)
    seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + (minute - offset) * 60 + second
    at = seconds * NANOS + nanosecond
    if not FIRST <= at < LAST:
        return None
    if leap and at + 1 != LAST and not begins_a_month(at + 1):
        return None
    return at


def days_in(year, month):
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31


def days_since_1970(year, month, day):
    """The proleptic Gregorian calendar, counted from a March 1st so that leap days come last."""
    if month <= 2:
        year, month = year - 1, month + 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 719_469


def begins_a_month(at):
    days, rest = divmod(at, 86_400 * NANOS)
    if rest:
        return False
    # Around the day in question, which is cheap enough for what comes once in years.
    year = 1970 + days // 366 - 1
    return any(
        days_since_1970(y, month, 1) == days for y in range(year, 1970 + days // 365 + 2) for month in range(1, 13)
    )
