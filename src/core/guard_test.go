package core

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/wire"
)

// sick is a shard that answers whatever it is asked with an error until it is well.
type sick struct {
	well           atomic.Bool
	hellos, probes atomic.Int64
}

func (s *sick) onFrame(c *wire.Conn, f wire.Frame) {
	answers := map[string]wire.Frame{
		wire.TypeHello:     wire.Make(wire.TypeWelcome, wire.Welcome{}),
		wire.TypeReqHist:   wire.Make(wire.TypeRespHist, wire.RespHist{}),
		wire.TypeReqStatus: wire.Make(wire.TypeRespStatus, wire.Status{}),
	}
	switch f.Type {
	case wire.TypeHello:
		s.hellos.Add(1)
	case wire.TypeReqStatus:
		s.probes.Add(1)
	}
	if answer, ok := answers[f.Type]; ok && s.well.Load() {
		_ = c.Reply(f, answer)
	} else if ok {
		_ = c.Fail(f, wire.Errorf(wire.Unavailable, "sick"))
	}
}

// serve starts what fn does and ends it with the test.
func serve(t *testing.T, fn func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = fn(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
}

func TestNoSessionIsTriedWithAShardUntilAProbeIsAnswered(t *testing.T) {
	s := &sick{}
	srv, err := wire.NewServer(wire.ServerConfig{OnFrame: s.onFrame, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	ln, err := wire.Listen("127.0.0.1:0", "shard-0")
	require.NoError(t, err)
	serve(t, func(ctx context.Context) error { return srv.Serve(ctx, ln) })
	c, err := New(Config{
		Listen: "127.0.0.1:0", External: "127.0.0.1:1", Broker: "127.0.0.1:1",
		Shards: fmt.Sprintf("shard-0=%s", ln.Addr()), Copies: 1, EpochWait: time.Millisecond, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	serve(t, c.Run)

	probes := func(n int64) func() bool { return func() bool { return s.probes.Load() >= n } }
	require.Eventually(t, probes(1), 20*time.Second, time.Millisecond, "the breaker does not open")
	hellos := s.hellos.Load()
	require.Eventually(t, probes(3), 20*time.Second, time.Millisecond)
	require.Equal(t, hellos, s.hellos.Load())
	s.well.Store(true)
	require.Eventually(t, func() bool { return s.hellos.Load() > hellos }, 20*time.Second, time.Millisecond, "no session after an answered probe")
}
