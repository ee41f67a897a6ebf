"""The guide's order service in Python; answers compressed, so that its callers must read that. Prints its port."""
from concurrent import futures

import grpc
import order_pb2
import order_pb2_grpc


class OrderService(order_pb2_grpc.OrderServiceServicer):
    def GetOrder(self, request, context):
        metadata = dict(context.invocation_metadata())
        context.send_initial_metadata([("x-echo", metadata.get("x-echo", "")), ("x-bytes-bin", b"\x00\xff")])
        if request.order_id != "123":
            context.set_trailing_metadata([("x-why", "no such order")])
            context.abort(grpc.StatusCode.NOT_FOUND, f"order {request.order_id} does not exist")
        return order_pb2.Order(id=request.order_id, customer_id="customer-456", created_at=2**53)

    def CreateOrder(self, request, context):
        return order_pb2.Order(id="1", customer_id=request.customer_id, items=request.items)

    def StreamOrders(self, request, context):
        for i in range(200):
            yield order_pb2.Order(id=str(i), customer_id=request.customer_id)


server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), compression=grpc.Compression.Gzip)
order_pb2_grpc.add_OrderServiceServicer_to_server(OrderService(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
server.wait_for_termination()
