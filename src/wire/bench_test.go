package wire

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// benchSession opens a session over loopback TCP to a server that answers PING.
func benchSession(b *testing.B, cfg ServerConfig, dial DialConfig) *Session {
	b.Helper()
	srv, err := NewServer(cfg)
	require.NoError(b, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	ctx, quit := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ctx, ln) }()
	dial.Addr = ln.Addr().String()
	s, err := Dial(ctx, dial)
	require.NoError(b, err)
	b.Cleanup(func() { s.Close(); quit(); <-done })
	b.ReportAllocs()
	return s
}

// answering answers each PING as requests that take time are answered.
func answering(c *Conn, f Frame) {
	c.Answer(f, func(context.Context) (Frame, error) { return Frame{Type: "PONG"}, nil })
}

func BenchmarkDo(b *testing.B) {
	for name, on := range map[string]func(*Conn, Frame){"inline": pong, "Answer": answering} {
		b.Run(name, func(b *testing.B) {
			s := benchSession(b, ServerConfig{OnFrame: on}, DialConfig{})
			ctx, cancel := context.WithCancel(b.Context())
			defer cancel()
			for b.Loop() {
				_, err := s.Do(ctx, Frame{Type: "PING"})
				require.NoError(b, err)
			}
		})
	}
}

func BenchmarkDoPipelined(b *testing.B) {
	s := benchSession(b, ServerConfig{OnFrame: answering}, DialConfig{})
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := s.Do(b.Context(), Frame{Type: "PING"}); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkSend is one publisher's frames, each a write of its own.
func BenchmarkSend(b *testing.B) {
	prev := uint64(1041)
	f := Frame{
		Type: TypePublish, Topic: "quotes.PETR4", Epoch: 1795419376123, Seq: 1042, Prev: &prev,
		Payload: []byte(`{"symbol":"PETR4","price":"27.31","bid":"27.30","ask":"27.32","bid_size":"1200","ask_size":"800","timestamp":"2026-11-23T14:00:00.000000Z"}`),
	}
	for name, n := range map[string]int{"1": 1, "32 a write": 32} {
		b.Run(name, func(b *testing.B) {
			got := make(chan struct{}, 1)
			want, seen := uint64(b.N), uint64(0)
			s := benchSession(b, ServerConfig{OnFrame: func(c *Conn, req Frame) {
				var lines []byte
				go func() {
					for sent := uint64(0); sent < want; sent += uint64(n) {
						lines = lines[:0]
						for range n {
							lines = f.Append(lines)
						}
						_ = c.Write(lines)
					}
				}()
			}}, DialConfig{OnFrame: func(Frame) {
				if seen++; seen == want {
					got <- struct{}{}
				}
			}})
			b.SetBytes(int64(len(f.Append(nil))))
			require.NoError(b, s.Send(Frame{Type: "GO"}))
			<-got
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for name, payload := range map[string]string{
		"quote": `{"symbol":"PETR4","price":"27.31","bid":"27.30","ask":"27.32","bid_size":"1200","ask_size":"800","timestamp":"2026-11-23T14:00:00.000000Z"}`,
		"text":  `"` + strings.Repeat("x", 126) + `"`,
	} {
		for _, borrow := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s,borrow=%v", name, borrow), func(b *testing.B) {
				line := []byte(`{"type":"PUBLISH","topic":"quotes.PETR4","epoch":1795419376123,"seq":1042,"prev":1041,"payload":` + payload + `}`)
				p := parser{borrow: borrow}
				b.SetBytes(int64(len(line)))
				b.ReportAllocs()
				for b.Loop() {
					var f Frame
					if err := p.parse(line, &f); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
