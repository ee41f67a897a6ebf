"""What schemathesis has to know of streams: bodies and answers of application/x-ndjson are a JSON text a line."""

import json

import schemathesis
from schemathesis.transport.requests import REQUESTS_TRANSPORT


@REQUESTS_TRANSPORT.serializer("application/x-ndjson")
def to_lines(ctx, value):
    if isinstance(value, bytes):
        return {"data": value}
    # Twice: a stream of one message would not be one.
    line = json.dumps(value)
    return {"data": f"{line}\n{line}\n".encode()}


@schemathesis.deserializer("application/x-ndjson")
def first_line(ctx, response):
    lines = response.content.splitlines()
    for line in lines:
        json.loads(line)
    return json.loads(lines[0]) if lines else {}
