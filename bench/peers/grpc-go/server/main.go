// The grpc-go server of the benchmarks; speaks the process protocol of peers/protocol/serve.ts.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"

	"google.golang.org/grpc"

	"trunkline.bench/grpcgo/gen"
)

const createdAtMs = 1_760_000_000_000

type orders struct {
	gen.UnimplementedOrderServiceServer
}

func order(id string) *gen.Order {
	return &gen.Order{
		OrderId:    id,
		CustomerId: "customer-456789",
		Items: []*gen.OrderItem{
			{ProductId: "product-1001", Quantity: 2, Price: 29.99},
			{ProductId: "product-1002", Quantity: 1, Price: 49.5},
		},
		Status:    gen.OrderStatus_ORDER_STATUS_CONFIRMED,
		CreatedAt: createdAtMs,
	}
}

func (orders) GetOrder(_ context.Context, request *gen.GetOrderRequest) (*gen.Order, error) {
	return order(request.OrderId), nil
}

func (orders) Echo(_ context.Context, request *gen.EchoMessage) (*gen.EchoMessage, error) {
	return request, nil
}

func (orders) StreamOrders(request *gen.StreamOrdersRequest, stream grpc.ServerStreamingServer[gen.Order]) error {
	for sent := int32(1); sent <= request.Count; sent++ {
		if err := stream.Send(order(fmt.Sprintf("order-%d", sent))); err != nil {
			return err
		}
	}
	return nil
}

func (orders) Watch(_ *gen.GetOrderRequest, stream grpc.ServerStreamingServer[gen.Order]) error {
	<-stream.Context().Done()
	return nil
}

func stats() string {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	cpuUs := (usage.Utime.Nano() + usage.Stime.Nano()) / 1000
	return fmt.Sprintf(`{"cpuUs":%d,"rssBytes":%d,"heapBytes":0}`, cpuUs, residentBytes())
}

func residentBytes() int64 {
	var pages, resident int64
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fmt.Sscan(string(text), &pages, &resident)
	return resident * int64(os.Getpagesize())
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(grpc.MaxRecvMsgSize(8 << 20))
	gen.RegisterOrderServiceServer(server, orders{})
	go func() {
		if err := server.Serve(listener); err != nil {
			log.Fatal(err)
		}
	}()
	fmt.Printf("{\"port\":%d}\n", listener.Addr().(*net.TCPAddr).Port)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		switch strings.TrimSpace(lines.Text()) {
		case "gc":
			runtime.GC()
			fmt.Println(stats())
		case "stats":
			fmt.Println(stats())
		}
	}
}
