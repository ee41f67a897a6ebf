// Serves retry.proto: answers UNAVAILABLE as often as it is asked to and tells what it has seen.
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"retry/retrypb"
)

type attempts struct {
	first time.Time
	seen  []*retrypb.Attempt
}

type retryServer struct {
	retrypb.UnimplementedRetryServiceServer
	mutex sync.Mutex
	byKey map[string]*attempts
}

// note remembers an attempt and answers how many there have been, this one included.
func (s *retryServer) note(ctx context.Context, key string) int {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	now := time.Now()
	of := s.byKey[key]
	if of == nil {
		of = &attempts{first: now}
		s.byKey[key] = of
	}
	received, _ := metadata.FromIncomingContext(ctx)
	of.seen = append(of.seen, &retrypb.Attempt{
		AfterMs:  float64(now.Sub(of.first).Microseconds()) / 1000,
		Previous: received.Get("grpc-previous-rpc-attempts"),
	})
	return len(of.seen)
}

func (s *retryServer) answer(ctx context.Context, request *retrypb.FailRequest) (*retrypb.FailResponse, error) {
	if s.note(ctx, request.Key) > int(request.Failures) {
		return &retrypb.FailResponse{}, nil
	}
	if request.Pushback != nil {
		if err := grpc.SetTrailer(ctx, metadata.Pairs("grpc-retry-pushback-ms", *request.Pushback)); err != nil {
			return nil, err
		}
	}
	return nil, status.Error(codes.Unavailable, "as asked")
}

func (s *retryServer) Marked(ctx context.Context, request *retrypb.FailRequest) (*retrypb.FailResponse, error) {
	return s.answer(ctx, request)
}

func (s *retryServer) Unmarked(ctx context.Context, request *retrypb.FailRequest) (*retrypb.FailResponse, error) {
	return s.answer(ctx, request)
}

func (s *retryServer) Seen(_ context.Context, request *retrypb.SeenRequest) (*retrypb.SeenResponse, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	response := &retrypb.SeenResponse{}
	if of := s.byKey[request.Key]; of != nil {
		response.Attempts = append(response.Attempts, of.seen...)
	}
	return response, nil
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	retrypb.RegisterRetryServiceServer(server, &retryServer{byKey: map[string]*attempts{}})
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	log.Fatal(server.Serve(listener))
}
