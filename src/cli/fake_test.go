package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/cluster"
	"quotes/src/wire"
)

var update = flag.Bool("update", false, "write the golden files")

// server is a small broker or aggregator: it keeps what it was asked and answers as a test wants.
type server struct {
	addr string
	stop func() // ends it and all its connections

	mu    sync.Mutex
	asked []wire.Frame
}

// serve starts a server on addr, "127.0.0.1:0" for any port.
func serve(t *testing.T, addr string, on func(*wire.Conn, wire.Frame)) *server {
	t.Helper()
	listen := cluster.Listen
	if addr != "127.0.0.1:0" {
		listen = func() (net.Listener, error) { return net.Listen("tcp", addr) }
	}
	ln, err := listen()
	require.NoError(t, err)
	s := &server{addr: ln.Addr().String()}
	ws, err := wire.NewServer(wire.ServerConfig{
		OnFrame: func(c *wire.Conn, f wire.Frame) {
			s.mu.Lock()
			s.asked = append(s.asked, f)
			s.mu.Unlock()
			on(c, f)
		},
		RetryAfter: time.Millisecond, Drain: time.Second, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ws.Serve(ctx, ln) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-done)
	})
	t.Cleanup(s.stop)
	return s
}

// requests returns what it was asked so far.
func (s *server) requests() []wire.Frame {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// answers serves fixed payloads by type of request: several payloads are several replies. "ERROR " before a payload
// makes it an ERROR.
func answers(t *testing.T, byType map[string][]string) *server {
	t.Helper()
	replies := map[string][]wire.Frame{}
	for typ, payloads := range byType {
		for i, p := range payloads {
			r := wire.Frame{Type: strings.Replace(typ, "REQ_", "RESP_", 1), More: i < len(payloads)-1}
			if e, isError := strings.CutPrefix(p, "ERROR "); isError {
				r.Type, p = wire.TypeError, e
			}
			var line bytes.Buffer
			require.NoError(t, json.Compact(&line, []byte(p)))
			r.Payload = line.Bytes()
			replies[typ] = append(replies[typ], r)
		}
	}
	return serve(t, "127.0.0.1:0", func(c *wire.Conn, f wire.Frame) {
		if _, ok := replies[f.Type]; !ok {
			_ = c.Fail(f, wire.Errorf(wire.BadRequest, "unknown type %s", f.Type))
		}
		for _, r := range replies[f.Type] {
			_ = c.Reply(f, r)
		}
	})
}

// syncBuffer is a buffer that may be read while it is written.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// session is one run of quotectl in a test.
type session struct {
	cfg      Config
	env      map[string]string
	out, err syncBuffer
}

// newSession returns a quotectl that speaks to the given servers; nil is a port where nobody listens.
func newSession(t *testing.T, broker, aggregator *server) *session {
	t.Helper()
	s := &session{env: map[string]string{"QUOTES_BROKER": nobody(t), "QUOTES_AGGREGATOR": nobody(t)}}
	if broker != nil {
		s.env["QUOTES_BROKER"] = broker.addr
	}
	if aggregator != nil {
		s.env["QUOTES_AGGREGATOR"] = aggregator.addr
	}
	s.cfg = Config{Out: &s.out, Err: &s.err, Version: "v1.2.3", Getenv: func(k string) string { return s.env[k] }}
	return s
}

// nobody returns an address that refuses connections.
func nobody(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	return ln.Addr().String()
}

// run runs one command line to its end.
func (s *session) run(t *testing.T, line string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	code := Run(ctx, s.cfg, strings.Fields(line))
	require.NoError(t, ctx.Err(), "the command hung\n%s\n%s", s.out.String(), s.err.String())
	return code
}

// text returns what was written, with the servers' addresses named.
func (s *session) text(b *syncBuffer) string {
	const broker, aggregator = "127.0.0.1:<8081", "127.0.0.1:<8000" // as wide as an address with a port of the system's choice
	return strings.NewReplacer(s.env["QUOTES_BROKER"], broker, s.env["QUOTES_AGGREGATOR"], aggregator).Replace(b.String())
}

// golden compares a whole run with testdata/NAME.golden.
func (s *session) golden(t *testing.T, name, line string, code int) {
	t.Helper()
	got := fmt.Sprintf("$ quotectl %s\n%s-- stderr\n%s-- exit %d\n", line, s.text(&s.out), s.text(&s.err), code)
	file := filepath.Join("testdata", name+".golden")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}
