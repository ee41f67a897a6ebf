// The grpc-go client of the benchmarks; speaks the process protocol of peers/protocol/drive.ts.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"trunkline.bench/grpcgo/gen"
)

const (
	orderID         = "order-123456"
	ordersPerStream = 20_000
	echoBytes       = 1 << 20
)

type options struct {
	Port          int     `json:"port"`
	Scenario      string  `json:"scenario"`
	WarmupSeconds float64 `json:"warmupSeconds"`
	Seconds       float64 `json:"seconds"`
	Concurrency   int     `json:"concurrency"`
}

type result struct {
	Operations int64   `json:"operations"`
	Seconds    float64 `json:"seconds"`
	CPUUs      int64   `json:"cpuUs"`
	P50Us      float64 `json:"p50Us"`
	P99Us      float64 `json:"p99Us"`
	RssBytes   int64   `json:"rssBytes"`
}

var operations atomic.Int64

func getOrder(client gen.OrderServiceClient) error {
	order, err := client.GetOrder(context.Background(), &gen.GetOrderRequest{OrderId: orderID})
	if err != nil {
		return err
	}
	if order.OrderId != orderID || len(order.Items) != 2 {
		return fmt.Errorf("not the order that was asked for: %v", order)
	}
	operations.Add(1)
	return nil
}

func echo(client gen.OrderServiceClient) error {
	answer, err := client.Echo(context.Background(), &gen.EchoMessage{Payload: payload})
	if err != nil {
		return err
	}
	if len(answer.Payload) != echoBytes || answer.Payload[echoBytes-1] != 7 {
		return fmt.Errorf("the echo is not what was sent")
	}
	operations.Add(1)
	return nil
}

func stream(client gen.OrderServiceClient) error {
	orders, err := client.StreamOrders(context.Background(), &gen.StreamOrdersRequest{Count: ordersPerStream})
	if err != nil {
		return err
	}
	for {
		if _, err := orders.Recv(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		operations.Add(1)
	}
}

var payload = bytes.Repeat([]byte{7}, echoBytes)

func cpuUs() int64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		log.Fatal(err)
	}
	return (usage.Utime.Nano() + usage.Stime.Nano()) / 1000
}

func main() {
	var opts options
	if err := json.Unmarshal([]byte(os.Args[1]), &opts); err != nil {
		log.Fatal(err)
	}
	step := map[string]func(gen.OrderServiceClient) error{
		"unary-64": getOrder, "unary-1": getOrder, "server-stream": stream, "echo-1mib": echo,
	}[opts.Scenario]
	if step == nil {
		log.Fatalf("no scenario %s", opts.Scenario)
	}
	connection, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", opts.Port),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(8<<20)))
	if err != nil {
		log.Fatal(err)
	}
	client := gen.NewOrderServiceClient(connection)

	var mutex sync.Mutex
	var latencies []float64
	for range opts.Concurrency {
		go func() {
			local := make([]float64, 0, 256)
			for {
				start := time.Now()
				if err := step(client); err != nil {
					log.Fatal(err)
				}
				local = append(local, float64(time.Since(start).Nanoseconds())/1000)
				if len(local) == cap(local) || opts.Scenario == "server-stream" || opts.Scenario == "echo-1mib" {
					mutex.Lock()
					latencies = append(latencies, local...)
					mutex.Unlock()
					local = local[:0]
				}
			}
		}()
	}

	time.Sleep(time.Duration(opts.WarmupSeconds * float64(time.Second)))
	mutex.Lock()
	latencies = latencies[:0]
	mutex.Unlock()
	fmt.Println(`{"measuring":true}`)
	operationsBefore, cpuBefore, start := operations.Load(), cpuUs(), time.Now()
	time.Sleep(time.Duration(opts.Seconds * float64(time.Second)))
	answer := result{
		Operations: operations.Load() - operationsBefore,
		CPUUs:      cpuUs() - cpuBefore,
		Seconds:    time.Since(start).Seconds(),
		RssBytes:   residentBytes(),
	}
	mutex.Lock()
	slices.Sort(latencies)
	if count := len(latencies); count > 0 {
		answer.P50Us, answer.P99Us = latencies[(count-1)/2], latencies[int(float64(count-1)*0.99)]
	}
	text, err := json.Marshal(answer)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
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
