package cluster_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/cluster"
	"quotes/src/wire"
)

// client is a connection that does what no client should.
func client(t *testing.T, addr, text string) *net.TCPConn {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(nc, text)
	require.NoError(t, err)
	return nc.(*net.TCPConn)
}

// Garbage, oversized and half-said lines, and a thousand connections that say nothing: an ERROR or a quiet close, on that
// connection alone. Subscribers and reports notice nothing, and an idle connection costs little.
func TestBadClientsMoveNothingElse(t *testing.T) {
	c := start(t, cluster.Config{})
	w := watch(t, c.Addr(cluster.Broker))
	eventually(t, "live", func() bool { return allLive(w) })
	eventually(t, "whole reports", func() bool { _, err := report(t, c, "A", 1); return err == nil })
	whole := reports(t, c)
	for _, name := range c.Names() {
		addr := c.Addr(name)
		for bad, code := range map[string]string{
			"garbage\n":                                 "bad_request",
			`{"type":"` + strings.Repeat("x", 2<<20):    "too_large",
			strings.Repeat("[", 100_000) + "\n":         "bad_request",
			`{"type":"NONSENSE","id":1}` + "\n":         "bad_request",
			`{"type":"REQ_STATUS","id":-1}` + "\n":      "bad_request",
			`{"type":"REQ_HIST","payload":7}` + "\n":    "",
			`{"type":"SUBSCRIBE","topic":"?"}` + "\n":   "",
			`{"type":"REQ_QUOTE","topic":"a b"}` + "\n": "",
		} {
			answer, err := bufio.NewReader(client(t, addr, bad)).ReadString('\n')
			require.NoError(t, err, "%s: %.40s", name, bad)
			var f wire.Frame
			require.NoError(t, json.Unmarshal([]byte(answer), &f))
			require.Error(t, wire.ErrorOf(f), "%s: %.40s: %s", name, bad, answer)
			if code != "" {
				require.EqualValues(t, code, wire.CodeOf(wire.ErrorOf(f)), "%s: %.40s", name, bad)
			}
		}
		client(t, addr, `{"type":"REQ_`) // and no more, ever
		require.NoError(t, client(t, addr, `{"type":"SUBSCRI`).CloseWrite())
		before := memory()
		idle := make([]*net.TCPConn, 1000)
		for i := range idle {
			idle[i] = client(t, addr, "")
		}
		require.NoError(t, ask(t, addr, wire.TypeReqStatus, nil, &wire.Status{}), "%s with 1,000 idle connections", name)
		each := (memory() - before) / len(idle)
		t.Logf("%s: %d bytes an idle connection, both ends", name, each)
		require.Less(t, each, 64<<10, name)
		for _, nc := range idle {
			require.NoError(t, nc.Close())
		}
	}
	whole.end(t)
	require.Empty(t, with(w, func() []wire.Lost { return w.lost }))
}

// memory is what the process has in use.
func memory() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc + m.StackInuse)
}

// A subscriber that does not read is conflated and told so; the others get every record, at the rate that they had.
func TestASlowSubscriberHurtsItselfAlone(t *testing.T) {
	c := start(t, cluster.Config{Rate: 8000})
	w := watch(t, c.Addr(cluster.Broker))
	eventually(t, "live", func() bool { return allLive(w) })
	rate := func() float64 {
		began, had := time.Now(), w.records()
		time.Sleep(time.Second)
		return float64(w.records()-had) / time.Since(began).Seconds()
	}
	alone := rate()
	slow := client(t, c.Addr(cluster.Broker), "")
	require.NoError(t, slow.SetReadBuffer(4096))
	_, err := io.WriteString(slow, `{"type":"SUBSCRIBE","id":1,"topic":"quotes.*","payload":{"mode":"latest"}}`+"\n")
	require.NoError(t, err)
	eventually(t, "a subscriber that lags", func() bool {
		var st wire.Status
		require.NoError(t, ask(t, c.Addr(cluster.Broker), wire.TypeReqStatus, nil, &st))
		for _, s := range st.Subscribers {
			if s.Lag > 64<<10 {
				return true
			}
		}
		return false
	})
	beside := rate()
	t.Logf("records a second: %.0f alone, %.0f beside it", alone, beside)
	require.Greater(t, beside, alone/2)
	in := bufio.NewReader(slow)
	for told := false; !told; {
		line, err := in.ReadString('\n')
		require.NoError(t, err)
		told = strings.Contains(line, `"skipped":`) && strings.Contains(line, `"why":"latest"`)
	}
	require.Empty(t, with(w, func() []wire.Lost { return w.lost }))
}
