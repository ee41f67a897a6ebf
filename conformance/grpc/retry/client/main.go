// Calls retry.proto with retries of a service config (gRFC A6); one line for each check: "ok <name>" or "failed <name>:
// <why>".
package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"retry/retrypb"
)

// Back-off of at most 20 ms, so that a longer wait is the server's wish.
const methodConfig = `"methodConfig": [{
  "name": [{"service": "trunkline.conformance.RetryService"}],
  "retryPolicy": {
    "maxAttempts": 4, "initialBackoff": "0.01s", "maxBackoff": "0.02s", "backoffMultiplier": 1,
    "retryableStatusCodes": ["UNAVAILABLE"]
  }
}]`

func check(name string, run func() error) {
	if err := run(); err != nil {
		fmt.Printf("failed %s: %v\n", name, err)
		return
	}
	fmt.Printf("ok %s\n", name)
}

func connect(config string) (retrypb.RetryServiceClient, func()) {
	connection, err := grpc.NewClient(os.Args[1],
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultServiceConfig(config))
	if err != nil {
		fmt.Printf("failed connecting: %v\n", err)
		os.Exit(1)
	}
	return retrypb.NewRetryServiceClient(connection), func() { connection.Close() }
}

// expect makes a call and compares its status and what the server saw of it.
func expect(ctx context.Context, client retrypb.RetryServiceClient, request *retrypb.FailRequest, code codes.Code,
	previous ...string) ([]*retrypb.Attempt, error) {
	_, err := client.Unmarked(ctx, request)
	if status.Code(err) != code {
		return nil, fmt.Errorf("expected %v, got %v", code, err)
	}
	seen, err := client.Seen(ctx, &retrypb.SeenRequest{Key: request.Key})
	if err != nil {
		return nil, err
	}
	var got []string
	for _, attempt := range seen.Attempts {
		got = append(got, fmt.Sprint(attempt.Previous))
	}
	if fmt.Sprint(got) != fmt.Sprint(previous) {
		return nil, fmt.Errorf("expected attempts with grpc-previous-rpc-attempts %v, the server saw %v", previous, got)
	}
	return seen.Attempts, nil
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	client, closeClient := connect("{" + methodConfig + "}")
	defer closeClient()
	pushback := func(text string) *string { return &text }

	check("UNAVAILABLE twice, then OK", func() error {
		_, err := expect(ctx, client, &retrypb.FailRequest{Key: "twice", Failures: 2}, codes.OK, "[]", "[1]", "[2]")
		return err
	})
	check("UNAVAILABLE always: maxAttempts", func() error {
		request := &retrypb.FailRequest{Key: "always", Failures: 100}
		_, err := expect(ctx, client, request, codes.Unavailable, "[]", "[1]", "[2]", "[3]")
		return err
	})
	check("pushback of 300 ms is waited for", func() error {
		request := &retrypb.FailRequest{Key: "pushback", Failures: 2, Pushback: pushback("300")}
		attempts, err := expect(ctx, client, request, codes.OK, "[]", "[1]", "[2]")
		if err != nil {
			return err
		}
		for i, attempt := range attempts[1:] {
			if waited := attempt.AfterMs - attempts[i].AfterMs; waited < 300 {
				return fmt.Errorf("attempt %d came after %v ms", i+2, waited)
			}
		}
		return nil
	})
	check("pushback of 0 ms is a retry", func() error {
		request := &retrypb.FailRequest{Key: "zero", Failures: 1, Pushback: pushback("0")}
		_, err := expect(ctx, client, request, codes.OK, "[]", "[1]")
		return err
	})
	check("pushback of -1: no retry", func() error {
		request := &retrypb.FailRequest{Key: "never", Failures: 1, Pushback: pushback("-1")}
		_, err := expect(ctx, client, request, codes.Unavailable, "[]")
		return err
	})

	throttled, closeThrottled := connect("{" + methodConfig + `, "retryThrottling": {"maxTokens": 4, "tokenRatio": 1}}`)
	defer closeThrottled()
	check("retryThrottling: retries end when half of the tokens are gone", func() error {
		// 4 tokens; each UNAVAILABLE takes one, at 2 nothing is retried; the call of Seen gives one back.
		request := &retrypb.FailRequest{Key: "throttled", Failures: 100}
		if _, err := expect(ctx, throttled, request, codes.Unavailable, "[]", "[1]"); err != nil {
			return err
		}
		request = &retrypb.FailRequest{Key: "throttled again", Failures: 100}
		_, err := expect(ctx, throttled, request, codes.Unavailable, "[]")
		return err
	})
	check("retryThrottling: good answers bring retries back", func() error {
		for i := 0; i < 4; i++ {
			request := &retrypb.FailRequest{Key: fmt.Sprint("good ", i)}
			if _, err := expect(ctx, throttled, request, codes.OK, "[]"); err != nil {
				return err
			}
		}
		request := &retrypb.FailRequest{Key: "throttled, well again", Failures: 1}
		_, err := expect(ctx, throttled, request, codes.OK, "[]", "[1]")
		return err
	})
}
