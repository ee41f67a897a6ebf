"""An RPC server as pika's users write it: it answers to reply_to with the correlation_id of the request, by the default exchange.

Takes its queue, and an exchange and a routing key that the queue is bound to. It answers {"number": n} with the plain number
2 n; without a number it answers with an error in headers, and "twice": true gets two answers.
"""
import json
import os
import sys

import pika

queue, exchange, key = sys.argv[1:]
connection = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"]))
channel = connection.channel()
channel.exchange_declare(exchange=exchange, exchange_type="topic", durable=True)
channel.queue_declare(queue=queue)
channel.queue_bind(exchange=exchange, queue=queue, routing_key=key)


def on_request(ch, method, props, body):
    request = json.loads(body)
    number = request.get("number", 0)
    headers = None
    if number < 0:
        headers = {"trunkline-error-code": "out_of_range", "trunkline-error-message": "below zero"}
    for _ in range(2 if request.get("note") == "twice" else 1):
        ch.basic_publish(
            exchange="",
            routing_key=props.reply_to,
            properties=pika.BasicProperties(correlation_id=props.correlation_id, headers=headers),
            body=str(number * 2),
        )
    ch.basic_ack(delivery_tag=method.delivery_tag)
    line = {"headers": {name: str(value) for name, value in (props.headers or {}).items()}, "body": request}
    print(json.dumps(line), flush=True)


channel.basic_qos(prefetch_count=1)
channel.basic_consume(queue=queue, on_message_callback=on_request)
print(json.dumps({"ready": queue}), flush=True)
channel.start_consuming()
