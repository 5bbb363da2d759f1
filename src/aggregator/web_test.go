package aggregator_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/aggregator"
	"quotes/src/wire"
)

func TestUnknownSymbolsAreErrorsNotEmptyAnswers(t *testing.T) {
	w := build(t, aggregator.Config{})
	for _, path := range []string{"/v1/report?symbol=NONE", "/v1/quotes?symbol=NONE", "/v1/history?symbol=NONE", "/v1/history?symbols=A,NONE"} {
		resp, body := w.get(t, path)
		require.Equal(t, http.StatusNotFound, resp.StatusCode, path)
		require.Contains(t, body, "unknown symbol", path)
		require.Contains(t, body, "NONE", path)
	}
	resp, _ := w.get(t, "/v1/history?symbol=A")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	for _, ask := range []string{
		`{"type":"REQ_HIST","id":1,"payload":{"symbols":["A","NONE"]}}`, `{"type":"REQ_REPORT","id":1,"payload":{"symbol":"NONE"}}`, `{"type":"REQ_QUOTE","id":1,"topic":"NONE"}`,
	} {
		answer := w.say(t, ask+"\n")
		require.Contains(t, answer, `"code":"bad_symbol"`, ask)
		require.Contains(t, answer, "NONE", ask)
	}
	require.Contains(t, w.say(t, `{"type":"REQ_HIST","id":1,"payload":{"symbols":["A"]}}`+"\n"), `"type":"RESP_HIST"`)
}

func TestBadQueriesAreNamedAndNothingElseMoves(t *testing.T) {
	w := build(t, aggregator.Config{})
	long := strings.Repeat("A", 40)
	for path, want := range map[string]int{
		"/v1/history?limit=0": 400, "/v1/history?limit=10001": 400, "/v1/history?limit=-1": 400, "/v1/history?order=up": 400, "/v1/history?kinds=x": 400,
		"/v1/history?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": 400, "/v1/history?cursor=x": 400, "/v1/history?cursor=LTEgeCAxIDE": 400,
		"/v1/history?symbol=A&symbols=A": 400, "/v1/history?min_coverage=2": 400, "/v1/report?symbol=" + long: 400, "/v1/report?limit=99999999999999999999": 400,
		"/v1/report?symbol=%3Cscript%3Ealert(1)%3C/script%3E": 400, "/v1/quotes?symbols=A,A": 400, "/v1/quotes?symbols=": 400, "/v1/quotes?%zz": 400, "/v1/status?x=1": 400,
		"/v1/stream?symbols=%0d%0aevent:x": 400, "/v1/symbols?a=1;b=2": 400, "/%2e%2e/%2e%2e/etc/passwd": 404, "/page/app.js": 404, "/app.js/": 404, "//app.js": 404, "/v1": 404,
		"/v1/quotes?symbols=" + strings.Repeat("A,", 900) + "A": 400,
	} {
		req, err := http.NewRequest(http.MethodGet, "http://"+w.addr, nil)
		require.NoError(t, err)
		path, query, _ := strings.Cut(path, "?")
		req.URL.Opaque, req.URL.RawQuery = path, query
		resp, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err, path)
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		if resp.StatusCode == http.StatusTemporaryRedirect || resp.StatusCode == http.StatusMovedPermanently {
			require.True(t, strings.HasPrefix(resp.Header.Get("Location"), "/"), "a cleaned path, here")
			continue
		}
		require.Equal(t, want, resp.StatusCode, "%s?%s: %s", path, query, body)
		require.NotContains(t, string(body), "<script>")
		require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	}
	resp, _ := w.get(t, "/v1/report?symbol=A")
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestHeadersThatAreTooLargeAndBodiesAreRefusedOrIgnored(t *testing.T) {
	w := build(t, aggregator.Config{})
	bomb := "GET /v1/symbols HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 1000)+"\r\n", 64) + "\r\n"
	require.Contains(t, w.say(t, bomb), "431")
	require.Contains(t, w.say(t, "POST /v1/report HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000000\r\n\r\nxxx"), "405")
	require.Contains(t, w.say(t, "GET /v1/symbols HTTP/1.1\r\n\r\n"), "400", "no Host")
	resp, _ := w.get(t, "/v1/report?symbol=A")
	require.Equal(t, http.StatusOK, resp.StatusCode)
}

func TestWhatMayBeKeptHasATagAndWhatIsOfTheMomentIsNot(t *testing.T) {
	w := build(t, aggregator.Config{})
	for _, path := range []string{"/v1/symbols", "/v1/history?symbol=A", "/", "/app.js", "/style.css"} {
		resp, _ := w.get(t, path)
		tag := resp.Header.Get("ETag")
		require.NotEmpty(t, tag, path)
		require.Equal(t, "no-cache", resp.Header.Get("Cache-Control"), path)
		req, err := http.NewRequest(http.MethodGet, "http://"+w.addr+path, nil)
		require.NoError(t, err)
		req.Header.Set("If-None-Match", `"x", `+tag)
		resp, err = http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusNotModified, resp.StatusCode, path)
	}
	w.shards[0].stop()
	w.shards[1].stop()
	w.shards[2].stop()
	for _, path := range []string{"/v1/report?symbol=A", "/v1/quotes", "/v1/status", "/v1/history?symbol=A", "/v1/report?symbol=A&min_coverage=1"} {
		resp, body := w.get(t, path)
		require.Empty(t, resp.Header.Get("ETag"), path)
		require.Equal(t, "no-store", resp.Header.Get("Cache-Control"), path)
		require.Equal(t, strings.Contains(path, "min_coverage"), resp.StatusCode == http.StatusServiceUnavailable, body)
	}
}

func TestLargeAnswersAreCompressedForThoseWhoAsk(t *testing.T) {
	w := build(t, aggregator.Config{})
	for accept, want := range map[string]string{"gzip": "gzip", "br, gzip;q=0.5": "gzip", "gzip;q=0": "", "identity": "", "": ""} {
		req, err := http.NewRequest(http.MethodGet, "http://"+w.addr+"/v1/status", nil)
		require.NoError(t, err)
		req.Header.Set("Accept-Encoding", accept)
		resp, err := http.DefaultTransport.RoundTrip(req)
		require.NoError(t, err)
		require.Equal(t, want, resp.Header.Get("Content-Encoding"), accept)
		var in io.Reader = resp.Body
		if want != "" {
			in, err = gzip.NewReader(in)
			require.NoError(t, err)
		}
		require.NoError(t, json.NewDecoder(in).Decode(&struct{}{}), accept)
		require.NoError(t, resp.Body.Close())
	}
}

// broker is a fake one: it sends a frame to whoever has subscribed, when told.
type broker struct {
	addr string
	send chan wire.Frame
}

func newBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{send: make(chan wire.Frame)}
	srv, err := wire.NewServer(wire.ServerConfig{Drain: time.Millisecond, OnFrame: func(c *wire.Conn, f wire.Frame) {
		if f.Type == wire.TypeSubscribe && f.Topic == "quotes.*" {
			c.Hold()
			go func() {
				for f := range b.send {
					_ = c.Send(f)
				}
			}()
		}
	}})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	b.addr = ln.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ctx, ln) }()
	t.Cleanup(func() { close(b.send); cancel(); <-done })
	return b
}

func (b *broker) quote(symbol string, seq uint64) {
	b.send <- wire.Frame{Type: wire.TypePublish, Topic: "quotes." + symbol, Epoch: 1, Seq: seq, Payload: fmt.Appendf(nil, `{"symbol":%q,"price":"1.%d"}`, symbol, seq)}
}

// events reads a stream's events that are not hello or source.
func (w *world) events(t *testing.T, path, last string) (next func() (id, data string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.addr+path, nil)
	require.NoError(t, err)
	req.Header.Set("Last-Event-ID", last)
	req.Header.Set("Accept-Encoding", "gzip")
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	require.Empty(t, resp.Header.Get("Content-Encoding"), "never compressed")
	in := bufio.NewReader(resp.Body)
	return func() (id, data string) {
		for kind := ""; ; {
			line, err := in.ReadString('\n')
			require.NoError(t, err)
			name, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch name {
			case "id":
				id = value
			case "event":
				kind = value
			case "data":
				data = value
			case "":
				if kind == "quote" {
					return id, data
				}
				kind = ""
			}
		}
	}
}

func TestAStreamIsConflatedAndResumesBehindItsLastEvent(t *testing.T) {
	b := newBroker(t)
	w := build(t, aggregator.Config{Broker: b.addr})
	next := w.events(t, "/v1/stream", "")
	b.quote("A", 1)
	first, data := next()
	require.Contains(t, data, `"seq":1`)
	for seq := uint64(2); seq <= 50; seq++ {
		b.quote("A", seq)
	}
	b.quote("B", 1)
	got := map[string]int{}
	for data = ""; !strings.Contains(data, `"seq":50`); {
		_, data = next()
		got[data]++
	}
	require.Less(t, len(got), 10, "only the newest of what came meanwhile")

	again := w.events(t, "/v1/stream", first)
	_, one := again()
	_, two := again()
	require.Contains(t, one+two, `"seq":50`)
	require.Contains(t, one+two, `quotes.B`)
	_, data = w.events(t, "/v1/stream", "other-7")()
	require.Contains(t, data, `"seq":50`, "an id of another process: everything")
	_, data = w.events(t, "/v1/stream?symbols=B", "")()
	require.Contains(t, data, "quotes.B", "only what was asked for")
}

// A stop waits for what is being answered by HTTP, with the sources it needs.
func TestARequestInWorkIsAnsweredThoughTheProcessLeaves(t *testing.T) {
	w := build(t, aggregator.Config{})
	asked := make(chan struct{})
	w.slow = func() { close(asked); time.Sleep(300 * time.Millisecond) }
	nc, err := net.Dial("tcp", w.addr)
	require.NoError(t, err)
	defer nc.Close()
	_, err = io.WriteString(nc, "GET /v1/report?symbol=A HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	<-asked
	w.leave()
	answer, err := io.ReadAll(nc)
	require.NoError(t, err)
	body := string(answer)
	require.Contains(t, body, `"coverage":1`, body)
	require.Contains(t, body, `"current_price":{"symbol":"A"`, body)
}

func TestAHeadOfAStreamEnds(t *testing.T) {
	w := build(t, aggregator.Config{})
	req, err := http.NewRequest(http.MethodHead, "http://"+w.addr+"/v1/stream", nil)
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, "text/event-stream", resp.Header.Get("Content-Type"))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	req, err = http.NewRequestWithContext(ctx, http.MethodGet, "http://"+w.addr+"/v1/report?symbol=A", nil) // on the same connection
	require.NoError(t, err)
	resp, err = http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
}

func TestAllSymbolsInOneReport(t *testing.T) {
	w := build(t, aggregator.Config{})
	for _, answer := range []string{w.say(t, `{"type":"REQ_REPORT","id":1,"payload":{"symbols":["*"]}}`+"\n"), second(w.get(t, "/v1/report?symbols=*"))} {
		require.Contains(t, answer, `[{"current_price":{"symbol":"A"`)
	}
}

func second(_ *http.Response, body string) string { return body }

// Without core and broker an unknown symbol is still called that, not given an empty report.
func TestUnknownSymbolsAreThatWithoutCoreToo(t *testing.T) {
	w := build(t, aggregator.Config{})
	w.core.stop()
	require.Eventually(t, func() bool {
		resp, body := w.get(t, "/v1/report?symbol=NONE")
		return resp.StatusCode == http.StatusNotFound && strings.Contains(body, "unknown symbol")
	}, 10*time.Second, 10*time.Millisecond)
	resp, body := w.get(t, "/v1/history?symbol=A&kinds=quotes")
	require.Equal(t, http.StatusOK, resp.StatusCode, "of the other kind there is something: %s", body)
	resp, _ = w.get(t, "/v1/history?symbol=NONE&kinds=quotes")
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
}
