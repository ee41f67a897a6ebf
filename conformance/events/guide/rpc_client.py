"""An RPC client as pika's users write it: a queue for its replies, reply_to and correlation_id.

Takes where requests go ("queue NAME" or "exchange NAME KEY"), how replies come ("own": a queue that the broker names,
"direct": direct reply-to), and the bodies; prints a line for each reply, in their order.
"""
import json
import os
import sys
import uuid

import pika


class RpcClient:
    def __init__(self, replies):
        self.connection = pika.BlockingConnection(pika.URLParameters(os.environ["RABBITMQ_URL"]))
        self.channel = self.connection.channel()
        self.callback_queue = "amq.rabbitmq.reply-to"
        if replies == "own":
            self.callback_queue = self.channel.queue_declare(queue="", exclusive=True).method.queue
        self.replies = {}
        self.channel.basic_consume(queue=self.callback_queue, on_message_callback=self.on_response, auto_ack=True)

    def on_response(self, ch, method, props, body):
        self.replies[props.correlation_id] = (props, body)

    def call(self, exchange, routing_key, body):
        correlation_id = str(uuid.uuid4())
        self.channel.basic_publish(
            exchange=exchange,
            routing_key=routing_key,
            properties=pika.BasicProperties(reply_to=self.callback_queue, correlation_id=correlation_id),
            body=body,
        )
        while correlation_id not in self.replies:
            self.connection.process_data_events(time_limit=30)
        return self.replies.pop(correlation_id)


arguments = sys.argv[1:]
place = arguments.pop(0)
exchange = arguments.pop(0) if place == "exchange" else ""
routing_key = arguments.pop(0)
client = RpcClient(arguments.pop(0))
for request in arguments:
    properties, reply = client.call(exchange, routing_key, request)
    headers = {name: str(value) for name, value in (properties.headers or {}).items()}
    print(json.dumps({"body": reply.decode(), "content_type": properties.content_type, "headers": headers}), flush=True)
client.connection.close()
