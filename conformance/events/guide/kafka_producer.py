"""The guide's Kafka producer. Takes an order as JSON."""
import json
import os
import sys
from datetime import datetime

from kafka import KafkaProducer

producer = KafkaProducer(
    bootstrap_servers=[os.environ["KAFKA_SERVER"]],
    value_serializer=lambda v: json.dumps(v).encode("utf-8"),
)


def emit_order_created(order):
    producer.send(
        "orders",
        key=order["id"].encode("utf-8"),
        value={
            "event_type": "ORDER_CREATED",
            "order_id": order["id"],
            "customer_id": order["customer_id"],
            "total": order["total"],
            "timestamp": datetime.utcnow().isoformat(),
        },
    )


emit_order_created(json.loads(sys.argv[1]))
producer.flush()
