"""The official Python client against the local hub: EVENT_HUBS is the connection string, HUB the hub."""

import os
import threading

from azure.eventhub import EventData, EventHubConsumerClient, EventHubProducerClient

CONNECTION = {"conn_str": os.environ["EVENT_HUBS"], "eventhub_name": os.environ["HUB"], "retry_total": 0}


def collect(count, **options):
    """So many events, with the partitions that they came from."""
    found, failures, enough = [], [], threading.Event()
    client = EventHubConsumerClient.from_connection_string(consumer_group="$Default", **CONNECTION)

    def on_event(context, event):
        found.append((context.partition_id, event))
        if len(found) >= count:
            enough.set()

    def on_error(_, error):
        failures.append(error)
        enough.set()

    options.setdefault("starting_position", "-1")
    receive = threading.Thread(target=client.receive, kwargs={"on_event": on_event, "on_error": on_error, **options})
    receive.start()
    assert enough.wait(60), f"{len(found)} of {count} events"
    client.close()
    receive.join()
    assert not failures, failures
    return found


with EventHubProducerClient.from_connection_string(**CONNECTION) as producer:
    assert producer.get_partition_ids() == ["0", "1", "2", "3"]
    keys = [f"drone-{number}" for number in range(6)]
    for key in keys:
        batch = producer.create_batch(partition_key=key)
        for number in range(3):
            event = EventData(f"{key} {number}".encode())
            event.properties = {"n": number, "text": "grüße", "flag": True}
            event.content_type = "text/plain"
            batch.add(event)
        producer.send_batch(batch)
    events = collect(18)
    for key in keys:
        own = [(partition, event) for partition, event in events if event.partition_key == key.encode()]
        assert len({partition for partition, _ in own}) == 1, own
        assert [event.body_as_str() for _, event in own] == [f"{key} {number}" for number in range(3)], own
        assert own[2][1].properties == {b"n": 2, b"text": "grüße".encode(), b"flag": True}, own[2][1]
        assert own[0][1].content_type == "text/plain"

    last = producer.get_partition_properties("2")["last_enqueued_sequence_number"]
    batch = producer.create_batch(partition_id="2")
    for number in range(4):
        batch.add(EventData(f"later {number}"))
    producer.send_batch(batch)
    later = collect(4, partition_id="2", starting_position=last)
    assert [event.body_as_str() for _, event in later] == [f"later {number}" for number in range(4)]
    rest = collect(2, partition_id="2", starting_position=later[1][1].offset)
    assert [event.body_as_str() for _, event in rest] == ["later 2", "later 3"]
print("all right")
