package aggregator_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/aggregator"
)

// Whatever a client begins with, it gets HTTP, one JSON line after the other, or a close; and the port goes on.
func FuzzFirstBytesOfThePort(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "GET /v1/report?symbol=A HTTP/1.0\r\n\r\n", `{"type":"REQ_STATUS"}` + "\n", "\n\n\n", "GET / HTTP/2.0\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x16\x03\x01\x02\x00\x01", "HELO x\r\n", `[{"type":"X"}]` + "\n", "GET http://evil/ HTTP/1.1\r\nHost: evil\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\nHost: x\nContent-Length: -1\n\n", "GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\nffffffffffffffff\r\n", `{"type":"REQ_REPORT","payload":{"symbol":"<script>"}}` + "\nGET / HTTP/1.1\r\n\r\n",
	} {
		f.Add([]byte(s))
	}
	cfg := aggregator.Config{Listen: "127.0.0.1:0", Core: "127.0.0.1:1", Broker: "127.0.0.1:1", Shards: "shard-0=127.0.0.1:1,shard-1=127.0.0.1:1", Budget: 5 * time.Millisecond, NoCourtesy: true}
	a, err := aggregator.New(cfg)
	require.NoError(f, err)
	ctx, cancel := context.WithCancel(f.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	f.Cleanup(func() { cancel(); require.NoError(f, <-done) })
	f.Fuzz(func(t *testing.T, b []byte) {
		nc, err := net.Dial("tcp", a.Addr())
		require.NoError(t, err)
		defer nc.Close()
		require.NoError(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
		_, _ = nc.Write(b) // it may be closed before all is written
		_ = nc.(*net.TCPConn).CloseWrite()
		head := bufio.NewReader(io.LimitReader(nc, 1<<20))
		first, err := head.Peek(1)
		if err != nil {
			return // closed without a word
		}
		if first[0] == 'H' {
			resp, err := http.ReadResponse(head, nil)
			require.NoError(t, err)
			require.NotEqual(t, http.StatusInternalServerError, resp.StatusCode)
			require.NoError(t, resp.Body.Close())
			return
		}
		line, err := head.ReadBytes('\n')
		require.NoError(t, err)
		require.True(t, json.Valid(bytes.TrimSpace(line)), "%q", line)
	})
}

// A client that sends its headers a byte at a time is left, and nobody else waits for it.
func TestASlowClientIsLeftAndNobodyWaitsForIt(t *testing.T) {
	w := build(t, aggregator.Config{})
	var slow []net.Conn
	for range 50 {
		nc, err := net.Dial("tcp", w.addr)
		require.NoError(t, err)
		defer nc.Close()
		_, err = io.WriteString(nc, "GET /v1/symbols HTTP/1.1\r\nHost: x\r\nX-")
		require.NoError(t, err)
		slow = append(slow, nc)
	}
	resp, _ := w.get(t, "/v1/report?symbol=A")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	if testing.Short() {
		return
	}
	for _, nc := range slow {
		require.NoError(t, nc.SetReadDeadline(time.Now().Add(20*time.Second)))
		all, err := io.ReadAll(nc)
		require.NoError(t, err, "closed by the server")
		require.True(t, len(all) == 0 || strings.HasPrefix(string(all), "HTTP/1.1 4"), string(all))
	}
}
