// The order server of the guide: the methods that its snippet shows over a store of one order, and a stream.
package main

import (
	"context"
	"fmt"
	"log"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"guide/orderpb"
)

type orderServer struct {
	orderpb.UnimplementedOrderServiceServer
}

func (s *orderServer) GetOrder(ctx context.Context, req *orderpb.GetOrderRequest) (*orderpb.Order, error) {
	if req.OrderId != "123" {
		return nil, status.Errorf(codes.NotFound, "order %s does not exist", req.OrderId)
	}
	return &orderpb.Order{
		Id:         req.OrderId,
		CustomerId: "customer-456",
		Status:     orderpb.OrderStatus_ORDER_STATUS_CONFIRMED,
		CreatedAt:  1 << 53,
	}, nil
}

func (s *orderServer) StreamOrders(req *orderpb.StreamRequest, stream grpc.ServerStreamingServer[orderpb.Order]) error {
	for i := 0; i < 1000; i++ {
		if err := stream.Send(&orderpb.Order{Id: fmt.Sprint(i), CustomerId: req.CustomerId}); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	orderpb.RegisterOrderServiceServer(server, &orderServer{})
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(server.Serve(listener))
}
