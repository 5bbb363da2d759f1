package shard

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/stretchr/testify/require"
)

// FuzzLines sends a shard anything, on a connection of its own, as a core, a twin or a reader would: it is answered or ended, and the
// shard serves on.
func FuzzLines(f *testing.F) {
	for _, s := range []string{
		`{"type":"HELLO","id":1,"payload":{"role":"publisher","epoch":5,"instance":"a","topics":[{"topic":"quotes.A","next":3}]}}
{"type":"APPEND","id":2,"payload":{"table_epoch":1,"epoch":5,"records":[{"topic":"quotes.A","seq":1,"payload":{"symbol":"A","timestamp":"2026-11-23T14:00:00.000000Z"}}],"lost":[{"topic":"quotes.A","first":2,"last":3}]}}`,
		`{"type":"HELLO","id":1,"payload":{"role":"publisher","epoch":0}}`, `{"type":"HELLO","payload":{"role":"twin","epoch":7,"more":true}}`,
		`{"type":"REQ_HIST","id":1,"payload":{"symbols":["A"],"kinds":["quotes"],"order":"desc","limit":1}}`, `{"type":"REQ_HIST","id":1}`,
		`{"type":"REQ_HIST","id":1,"payload":{"symbols":["A"],"after":{"quotes.A":{"epoch":5,"seq":1}},"before":{"quotes.A":{"epoch":5,"seq":0}}}}`,
		`{"type":"REQ_SUMS","id":1,"payload":{"topic":"quotes.A"}}`, `{"type":"REQ_CHUNKS","id":1,"payload":{"runs":[{"topic":"quotes.A","epoch":5,"first":1,"last":1024}]}}`,
		`{"type":"REQ_STATUS","id":1}`, `{"type":"HEARTBEAT"}`, "{}", "\n", "[", "GET / HTTP/1.1",
	} {
		f.Add(s)
	}
	s, err := New(Config{Listen: "127.0.0.1:0", Data: "data", fs: vfs.NewMem(), Shards: "shard-0=127.0.0.1:1", Copies: 1, MemtableMB: 1, CacheMB: 1, ReserveMB: 1, Log: slog.New(slog.DiscardHandler)})
	require.NoError(f, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	f.Cleanup(func() { cancel(); require.NoError(f, <-done) })
	ask := func(t *testing.T, lines string) {
		nc, err := net.Dial("tcp", s.Addr())
		require.NoError(t, err)
		defer nc.Close()
		require.NoError(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
		_, err = io.WriteString(nc, lines+"\n")
		require.NoError(t, err)
		_, err = io.WriteString(nc, `{"type":"REQ_STATUS","id":424242}`+"\n")
		_ = err // it may be gone by now, with reason
		in := bufio.NewReaderSize(nc, 1<<20)
		for {
			line, err := in.ReadString('\n')
			if err != nil || strings.Contains(line, `"id":424242`) {
				require.True(t, err == nil || !strings.Contains(err.Error(), "timeout"), "neither answered nor ended")
				require.True(t, err == nil || lines != "", "the shard serves on")
				return
			}
			require.True(t, strings.HasPrefix(line, `{"type":`), line)
		}
	}
	f.Fuzz(func(t *testing.T, lines string) {
		if len(lines) < 64<<10 {
			ask(t, lines)
			ask(t, "")
		}
	})
}
