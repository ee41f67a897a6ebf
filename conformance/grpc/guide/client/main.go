// Calls an order service with code generated from the guide's proto; one line for each check: "ok <name>" or "failed
// <name>: <why>".
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"

	"guide/orderpb"
)

func check(name string, run func() error) {
	if err := run(); err != nil {
		fmt.Printf("failed %s: %v\n", name, err)
		return
	}
	fmt.Printf("ok %s\n", name)
}

func main() {
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Printf("failed connecting: %v\n", err)
		return
	}
	defer connection.Close()
	client := orderpb.NewOrderServiceClient(connection)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()

	check("GetOrder", func() error {
		order, err := client.GetOrder(ctx, &orderpb.GetOrderRequest{OrderId: "123"})
		if err == nil && (order.Id != "123" || order.CustomerId != "customer-456" || len(order.Items) == 0) {
			return fmt.Errorf("unexpected order %v", order)
		}
		return err
	})
	check("GetOrder of an order that does not exist", func() error {
		_, err := client.GetOrder(ctx, &orderpb.GetOrderRequest{OrderId: "nothing"})
		if status.Code(err) != codes.NotFound {
			return fmt.Errorf("not NOT_FOUND: %v", err)
		}
		return nil
	})
	create := func(options ...grpc.CallOption) error {
		request := &orderpb.CreateOrderRequest{
			CustomerId: "customer-456",
			Items:      []*orderpb.OrderItem{{ProductId: "product-1", Quantity: 2, Price: 9.5}},
		}
		order, err := client.CreateOrder(ctx, request, options...)
		if err != nil {
			return err
		}
		again, err := client.GetOrder(ctx, &orderpb.GetOrderRequest{OrderId: order.Id})
		if err == nil && (again.Items[0].Price != 9.5 || again.Items[0].Quantity != 2) {
			return fmt.Errorf("unexpected order %v", again)
		}
		return err
	}
	check("CreateOrder", func() error { return create() })
	check("CreateOrder compressed", func() error { return create(grpc.UseCompressor(gzip.Name)) })
	check("CreateOrder without items", func() error {
		_, err := client.CreateOrder(ctx, &orderpb.CreateOrderRequest{CustomerId: "customer-456"})
		if status.Code(err) != codes.InvalidArgument {
			return fmt.Errorf("not INVALID_ARGUMENT: %v", err)
		}
		return nil
	})
	check("StreamOrders", func() error {
		stream, err := client.StreamOrders(ctx, &orderpb.StreamRequest{})
		if err != nil {
			return err
		}
		count := 0
		for {
			if _, err := stream.Recv(); err == io.EOF {
				break
			} else if err != nil {
				return err
			}
			count++
		}
		if count < 3 {
			return fmt.Errorf("%d orders", count)
		}
		return nil
	})
	check("StreamOrders cancelled", func() error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := client.StreamOrders(ctx, &orderpb.StreamRequest{})
		if err != nil {
			return err
		}
		if _, err := stream.Recv(); err != nil {
			return err
		}
		cancel()
		for err == nil {
			_, err = stream.Recv()
		}
		if err != io.EOF && status.Code(err) != codes.Canceled {
			return err
		}
		return nil
	})
	check("a deadline in the past", func() error {
		ctx, cancel := context.WithTimeout(ctx, time.Nanosecond)
		defer cancel()
		_, err := client.GetOrder(ctx, &orderpb.GetOrderRequest{OrderId: "123"})
		if status.Code(err) != codes.DeadlineExceeded {
			return fmt.Errorf("not DEADLINE_EXCEEDED: %v", err)
		}
		return nil
	})
}
