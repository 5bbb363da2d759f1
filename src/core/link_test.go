package core

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
	"quotes/src/quote"
	"quotes/src/wire"
)

// hearShard is a shard that passes on what HELLO tells it, stores nothing and holds nothing, or what is told.
func hearShard(t *testing.T, holds ...wire.RespHist) (addr string, hellos <-chan []wire.HelloTopic) {
	t.Helper()
	heard := make(chan []wire.HelloTopic, 16)
	srv, err := wire.NewServer(wire.ServerConfig{OnFrame: func(c *wire.Conn, f wire.Frame) {
		switch f.Type {
		case wire.TypeHello:
			var h wire.Hello
			if f.Decode(&h) == nil {
				heard <- h.Topics
			}
			_ = c.Reply(f, wire.Make(wire.TypeWelcome, wire.Welcome{HighestEpoch: h.Epoch}))
		case wire.TypeReqHist:
			for i := range holds {
				part := wire.Make(wire.TypeRespHist, holds[i])
				part.More = true
				_ = c.Reply(f, part)
			}
			_ = c.Reply(f, wire.Make(wire.TypeRespHist, wire.RespHist{}))
		case wire.TypeAppend:
			_ = c.Reply(f, wire.Make(wire.TypeAppended, wire.Appended{}))
		}
	}})
	require.NoError(t, err)
	ln, err := wire.Listen("127.0.0.1:0", "shard")
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-done) })
	return ln.Addr().String(), heard
}

// A shard to which core's buffer was too small must not think that it has everything: it is told at once, on the session
// that it has.
func TestAShardIsToldThatSomethingWasDropped(t *testing.T) {
	const topic = quote.Topic("quotes.A")
	r := newRig(t, 1500)
	shard := r.place.home(topic).owners[0]
	addr, hellos := hearShard(t)
	brk, err := breaker.New(breaker.Config{Name: "shard"})
	require.NoError(t, err)
	l := &link{shard: shard, addr: addr, instance: "core", book: r.book, ledger: r.place, brk: brk, settled: make(chan struct{}, 1)}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.serve(ctx, func() {}) }()
	t.Cleanup(func() { stop(); require.ErrorIs(t, <-done, context.Canceled) })

	next := func() uint64 {
		select {
		case topics := <-hellos:
			for _, n := range topics {
				if n.Topic == topic {
					return n.Next
				}
			}
			return 0
		case <-time.After(20 * time.Second):
			t.Error("no HELLO")
			return 0
		}
	}
	next() // the session's first
	for _, payload := range []string{`{}`, `{"pad":"` + strings.Repeat("x", 2000) + `"}`} {
		r.mu.Lock()
		r.emit(r.topic(topic), []byte(payload))
		r.mu.Unlock()
	}
	require.EqualValues(t, 3, next())
	require.False(t, r.place.skipped(shard))
}

// What retention has let go was durable, and still counts as that after a reconnect.
func TestWhatRetentionLetGoCountsAsStored(t *testing.T) {
	const topic = quote.Topic("quotes.A")
	r := newRig(t, 1<<20)
	for range 10 {
		r.mu.Lock()
		r.emit(r.topic(topic), []byte(`{}`))
		r.mu.Unlock()
	}
	shard := r.place.home(topic).owners[0]
	addr, _ := hearShard(t, wire.RespHist{
		Ranges: map[quote.Topic][]quote.Range{topic: {{Epoch: testEpoch, First: 5, Last: 10}}},
		Floors: []quote.Position{{Topic: topic, Point: quote.Point{Epoch: testEpoch, Seq: 5}}, {Topic: "quotes.B", Point: quote.Point{Epoch: 1, Seq: 7}}},
	})
	s, err := wire.Dial(t.Context(), wire.DialConfig{Addr: addr})
	require.NoError(t, err)
	t.Cleanup(s.Close)
	require.NoError(t, r.place.learn(t.Context(), s, shard, testEpoch))
	require.EqualValues(t, 10, r.place.home(topic).marks[0])
}
