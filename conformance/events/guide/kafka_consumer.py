"""The guide's Kafka consumer. Prints a line for each new order; its group may be named otherwise."""
import json
import os
import sys

from kafka import KafkaConsumer

consumer = KafkaConsumer(
    "orders",
    bootstrap_servers=[os.environ["KAFKA_SERVER"]],
    value_deserializer=lambda m: json.loads(m.decode("utf-8")),
    group_id=sys.argv[1] if len(sys.argv) > 1 else "order-processor",
    auto_offset_reset="earliest",
)


def process_new_order(message):
    line = {
        "key": message.key.decode("utf-8"),
        "partition": message.partition,
        "headers": {name: value.decode("utf-8") for name, value in message.headers},
        "body": message.value,
    }
    print(json.dumps(line), flush=True)


# Polling joins the group; what it brings is not lost.
while not consumer.assignment():
    for records in consumer.poll(timeout_ms=500).values():
        for message in records:
            if message.value["event_type"] == "ORDER_CREATED":
                process_new_order(message)
print(json.dumps({"ready": sorted(p.partition for p in consumer.assignment())}), flush=True)

for message in consumer:
    event = message.value
    if event["event_type"] == "ORDER_CREATED":
        process_new_order(message)
