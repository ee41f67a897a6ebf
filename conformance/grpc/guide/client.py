"""Calls an order service with code generated from the guide's proto; one line for each check."""
import sys

import grpc
import order_pb2
import order_pb2_grpc


def check(name, run):
    try:
        problem = run()
    except grpc.RpcError as error:
        problem = f"{error.code()} {error.details()}"
    print(f"ok {name}" if problem is None else f"failed {name}: {problem}", flush=True)


def expect_code(code, call):
    try:
        call()
    except grpc.RpcError as error:
        return None if error.code() == code else f"{error.code()} {error.details()}"
    return "no error"


channel = grpc.insecure_channel(sys.argv[1])
orders = order_pb2_grpc.OrderServiceStub(channel)


def get_order():
    order = orders.GetOrder(order_pb2.GetOrderRequest(order_id="123"), timeout=20)
    return None if order.customer_id == "customer-456" and order.items else str(order)


def create_order(**options):
    item = order_pb2.OrderItem(product_id="product-1", quantity=2, price=9.5)
    request = order_pb2.CreateOrderRequest(customer_id="customer-456", items=[item])
    order = orders.CreateOrder(request, timeout=20, **options)
    again = orders.GetOrder(order_pb2.GetOrderRequest(order_id=order.id), timeout=20)
    return None if again.items[0].price == 9.5 else str(again)


def stream_orders():
    found = list(orders.StreamOrders(order_pb2.StreamRequest(), timeout=20))
    return None if len(found) >= 2 else f"{len(found)} orders"


def cancel_stream():
    call = orders.StreamOrders(order_pb2.StreamRequest(), timeout=20)
    next(call)
    call.cancel()
    return None


def not_found():
    request = order_pb2.GetOrderRequest(order_id="nothing")
    return expect_code(grpc.StatusCode.NOT_FOUND, lambda: orders.GetOrder(request, timeout=20))


def invalid():
    request = order_pb2.CreateOrderRequest(customer_id="customer-456")
    return expect_code(grpc.StatusCode.INVALID_ARGUMENT, lambda: orders.CreateOrder(request, timeout=20))


def with_metadata():
    request = order_pb2.GetOrderRequest(order_id="123")
    orders.GetOrder(request, timeout=20, metadata=[("x-text", "a b"), ("x-bytes-bin", b"\x00\xff")])


check("GetOrder", get_order)
check("GetOrder of an order that does not exist", not_found)
check("GetOrder with metadata", with_metadata)
check("CreateOrder", create_order)
check("CreateOrder with gzip", lambda: create_order(compression=grpc.Compression.Gzip))
check("CreateOrder with deflate", lambda: create_order(compression=grpc.Compression.Deflate))
check("CreateOrder without items", invalid)
check("StreamOrders", stream_orders)
check("StreamOrders cancelled", cancel_stream)
