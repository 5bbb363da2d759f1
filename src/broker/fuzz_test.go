package broker

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzLines sends a broker anything, on a connection of its own: it ends as it should, what the broker knows stays sound, and a
// subscriber beside it is served.
func FuzzLines(f *testing.F) {
	for _, s := range []string{
		`{"type":"HELLO","id":1,"payload":{"role":"publisher","epoch":5,"instance":"a","topics":[{"topic":"quotes.A","next":3,"last":{"type":"PUBLISH","topic":"quotes.A","epoch":5,"seq":2,"payload":{}}}]}}
{"type":"PUBLISH","topic":"quotes.A","epoch":5,"seq":3,"prev":2,"payload":{"symbol":"A"}}
{"type":"PUBLISH","topic":"trades.A","epoch":5,"seq":9,"prev":8,"payload":1}`,
		`{"type":"SUBSCRIBE","id":1,"topic":"*","payload":{"mode":"sampled","interval_ms":1,"from":{"quotes.A":{"epoch":1,"seq":1}}}}
{"type":"SUBSCRIBE","topic":"quotes.A","payload":{"mode":"latest","snapshot":false}}
{"type":"UNSUBSCRIBE","topic":"*"}`,
		`{"type":"SUBSCRIBE","topic":"A"}` + "\n" + `{"type":"UNSUBSCRIBE","topic":"A"}`, `{"type":"REQ_STATUS","id":18446744073709551615}`,
		`{"type":"HELLO","payload":{"role":"publisher","epoch":0}}`, `{"type":"HELLO","payload":{"more":true}}`, `{"type":"HEARTBEAT"}`, "{}", "\n\n", "[", "GET / HTTP/1.1",
	} {
		f.Add(s)
	}
	b, err := New(Config{Listen: "127.0.0.1:0", MaxTopics: 200, MaxFrame: 4096, Retention: 8192, Total: 64 << 10})
	require.NoError(f, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	f.Cleanup(func() { cancel(); require.NoError(f, <-done) })
	dial := func(t *testing.T) *net.TCPConn {
		nc, err := net.Dial("tcp", b.Addr())
		require.NoError(t, err)
		require.NoError(t, nc.SetDeadline(time.Now().Add(10*time.Second)))
		tcp, _ := nc.(*net.TCPConn)
		return tcp
	}
	f.Fuzz(func(t *testing.T, lines string) {
		if len(lines) > 64<<10 {
			return
		}
		nc := dial(t)
		_, err := io.WriteString(nc, lines+"\n")
		require.NoError(t, err)
		_, err = io.WriteString(nc, `{"type":"REQ_STATUS","id":424242}`+"\n")
		_ = err // it may be gone by now, with reason
		in := bufio.NewReaderSize(nc, 1<<20)
		for {
			line, err := in.ReadString('\n')
			if err != nil || strings.Contains(line, `"id":424242`) {
				require.True(t, err == nil || !strings.Contains(err.Error(), "timeout"), "neither answered nor ended")
				break
			}
			require.True(t, strings.HasPrefix(line, `{"type":`), line)
		}
		require.NoError(t, nc.Close())

		other := dial(t)
		defer other.Close()
		_, err = io.WriteString(other, `{"type":"REQ_STATUS","id":1}`+"\n")
		require.NoError(t, err)
		line, err := bufio.NewReaderSize(other, 1<<20).ReadString('\n')
		require.NoError(t, err)
		require.Contains(t, line, `"type":"RESP_STATUS"`)

		b.mu.Lock()
		defer b.mu.Unlock()
		held := 0
		for name, top := range b.topics {
			require.Equal(t, name, top.name)
			held += top.bytes()
			for i := range top.entries {
				require.True(t, i == 0 || top.entries[i-1].point.Compare(top.entries[i].point) < 0, "%s: positions ascend", name)
			}
			for s, c := range top.readers {
				require.Same(t, c, s.cursors[top])
			}
		}
		require.Equal(t, held, b.bytes)
		require.LessOrEqual(t, len(b.topics), 200)
	})
}
