"""The guide's RabbitMQ producer. Takes an order as JSON, and publishes it as it is."""
import json
import os
import sys

import pika


def publish_order_created(order):
    connection = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"]))
    channel = connection.channel()
    channel.exchange_declare(exchange="orders", exchange_type="topic", durable=True)
    channel.basic_publish(
        exchange="orders",
        routing_key="order.created",
        body=json.dumps(order),
        properties=pika.BasicProperties(delivery_mode=2, content_type="application/json"),
    )
    connection.close()


publish_order_created(json.loads(sys.argv[1]))
