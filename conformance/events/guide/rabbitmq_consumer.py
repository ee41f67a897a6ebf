"""The guide's RabbitMQ consumer. Prints a line for each event that it has handled; its queue may be named otherwise."""
import json
import os
import sys

import pika


def process_order(method, properties, order):
    line = {
        "routing_key": method.routing_key,
        "content_type": properties.content_type,
        "delivery_mode": properties.delivery_mode,
        "message_id": properties.message_id,
        "headers": {name: str(value) for name, value in (properties.headers or {}).items()},
        "body": order,
    }
    print(json.dumps(line), flush=True)


def consume_orders(queue):
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"]))
    channel = connection.channel()
    channel.exchange_declare(exchange="orders", exchange_type="topic", durable=True)
    channel.queue_declare(queue=queue, durable=True)
    channel.queue_bind(exchange="orders", queue=queue, routing_key="order.*")

    def callback(ch, method, properties, body):
        process_order(method, properties, json.loads(body))
        ch.basic_ack(delivery_tag=method.delivery_tag)

    channel.basic_qos(prefetch_count=1)
    channel.basic_consume(queue=queue, on_message_callback=callback)
    print(json.dumps({"ready": queue}), flush=True)
    channel.start_consuming()


consume_orders(sys.argv[1] if len(sys.argv) > 1 else "order_processing")
