package aggregator_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/aggregator"
	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// fake is a core or a shard that answers as it is told.
type fake struct {
	addr string
	stop func()
}

func serve(t *testing.T, answer func(f wire.Frame) (wire.Frame, error)) *fake {
	t.Helper()
	srv, err := wire.NewServer(wire.ServerConfig{OnFrame: func(c *wire.Conn, f wire.Frame) {
		c.Answer(f, func(ctx context.Context) (wire.Frame, error) {
			out, err := answer(f)
			if out.Type == "HANG" {
				<-ctx.Done()
			}
			return out, err
		})
	}, Drain: time.Millisecond})
	require.NoError(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ctx, ln) }()
	f := &fake{addr: ln.Addr().String(), stop: func() { cancel(); <-done }}
	t.Cleanup(f.stop)
	return f
}

// world is an aggregator with a core that knows A and three shards, in sync, with a trade of A each.
type world struct {
	addr   string
	core   *fake
	shards []*fake
	mu     sync.Mutex
	slow   func() // what the first question for history waits for; nil: nothing
	price  string // core's quote of A
	hang   bool   // core answers nothing
	modes  [3]mode
	leave  func() // begins the end of the aggregator
}

// mode is how a shard is.
type mode int

const (
	fine   mode = iota
	behind      // not in sync
	broken      // it answers with an error
	hung        // it answers nothing
)

func (w *world) mode(shard int) mode {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.modes[shard]
}

// once returns what to wait for, to the first who asks.
func (w *world) once() func() {
	w.mu.Lock()
	defer w.mu.Unlock()
	slow := w.slow
	w.slow = nil
	return slow
}

func build(t *testing.T, cfg aggregator.Config) *world {
	t.Helper()
	w := &world{price: `{"symbol":"A","price":"1.50","quality":{"state":"live","age_ms":40}}`}
	w.core = serve(t, func(f wire.Frame) (wire.Frame, error) {
		if f.Topic != "" && f.Topic != "A" && !strings.HasPrefix(f.Topic, "K") || strings.Contains(string(f.Payload), "NONE") {
			return wire.Frame{}, wire.Errorf(wire.BadSymbol, "unknown symbol %s%s", f.Topic, f.Payload)
		}
		w.mu.Lock()
		quote, hang := w.price, w.hang
		w.mu.Unlock()
		switch {
		case hang:
			return wire.Frame{Type: "HANG"}, nil
		case f.Type == wire.TypeReqStatus:
			return wire.Make(wire.TypeRespStatus, wire.Status{Process: "core", Version: "x", Peers: []wire.Peer{{Name: "external", State: "up"}}}), nil
		case len(f.Payload) > 0:
			return wire.Frame{Type: wire.TypeRespQuote, Payload: []byte("[" + quote + "]")}, nil
		}
		return wire.Frame{Type: wire.TypeRespQuote, Payload: []byte(quote)}, nil
	})
	var list []string
	for i := range 3 {
		s := serve(t, func(f wire.Frame) (wire.Frame, error) {
			var req wire.ReqHist
			if f.Type != wire.TypeReqHist || f.Decode(&req) != nil {
				return wire.Make(wire.TypeRespStatus, wire.Status{Process: "shard", Version: "x"}), nil
			}
			if slow := w.once(); slow != nil {
				slow()
			}
			how := w.mode(i)
			switch how {
			case broken:
				return wire.Frame{}, wire.Errorf(wire.Unavailable, "broken")
			case hung:
				return wire.Frame{Type: "HANG"}, nil
			}
			resp := wire.RespHist{Records: []wire.Record{}, InSync: map[int]bool{}}
			for _, s := range req.Symbols {
				resp.InSync[placement.Slot(string(s))] = how == fine
				if s == "A" {
					resp.Ranges = map[quote.Topic][]quote.Range{"trades.A": {{Epoch: 1, First: 1, Last: 1}}}
					resp.Records = append(resp.Records, wire.Record{Topic: "trades.A", Epoch: 1, Seq: 1, Payload: []byte(`{"id":"7","symbol":"A","price":"1.50","quantity":"2","timestamp":"2026-01-01T00:00:00.000000Z"}`)})
				}
			}
			return wire.Make(wire.TypeRespHist, resp), nil
		})
		w.shards = append(w.shards, s)
		list = append(list, fmt.Sprintf("shard-%d=%s", i, s.addr))
	}
	cfg.Listen, cfg.Core, cfg.Shards = "127.0.0.1:0", w.core.addr, strings.Join(list, ",")
	a, err := aggregator.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	w.leave = cancel
	w.addr = a.Addr()
	return w
}

// say sends lines and returns the first line of the answer.
func (w *world) say(t *testing.T, lines string) string {
	t.Helper()
	nc, err := net.Dial("tcp", w.addr)
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
	_, err = io.WriteString(nc, lines)
	require.NoError(t, err)
	answer, err := bufio.NewReader(nc).ReadString('\n')
	require.NoError(t, err, lines)
	return answer
}

func (w *world) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	resp, err := http.Get("http://" + w.addr + path)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

func TestOneReportByEveryDoor(t *testing.T) {
	w := build(t, aggregator.Config{})
	_, byHTTP := w.get(t, "/v1/report?symbol=A")
	nc, err := net.Dial("tcp", w.addr)
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, nc.(*net.TCPConn).CloseWrite())
	silent, err := io.ReadAll(nc)
	require.NoError(t, err)
	var framed struct {
		ID      int
		Payload wire.Report
	}
	require.NoError(t, json.Unmarshal([]byte(w.say(t, `{"type":"REQ_REPORT","id":4,"payload":{"symbol":"A"}}`+"\n")), &framed))
	require.Equal(t, 4, framed.ID)
	for _, raw := range []string{byHTTP, string(silent)} {
		var r wire.Report
		require.NoError(t, json.Unmarshal([]byte(raw), &r))
		require.Equal(t, 1, strings.Count(raw, "\n"), "one line")
		for _, got := range []wire.Report{r, framed.Payload} {
			require.InDelta(t, 1, got.Coverage, 0)
			require.Equal(t, "1.50", got.CurrentPrice.Price.String())
			require.Len(t, got.History, 1)
			require.Equal(t, 2, got.Total, "core and one owner in sync")
			require.Equal(t, 2, got.OK)
		}
	}
	require.Contains(t, w.say(t, `{"type":"REQ_REPORT","payload":{"symbols":["A"]}}`+"\n"), `"payload":[{`, "an array where several could be asked")
}

func TestBadRequests(t *testing.T) {
	w := build(t, aggregator.Config{})
	for payload, code := range map[string]string{
		`{"symbol":"a b"}`: "bad_symbol", `{"symbol":"NONE"}`: "bad_symbol", `{"symbol":"A","limit":0}`: "bad_request", `{"symbol":"A","limit":2001}`: "bad_request",
		`{"symbol":"A","limit":-1}`: "bad_request", `{"symbol":"A","limit":"x"}`: "bad_request", `{"symbol":"A","symbols":["B"]}`: "bad_request",
		`{"symbols":["A","A"]}`: "bad_request", `{"symbol":"A","min_coverage":2}`: "bad_request", `{"symbol":"A","max_age_ms":-1}`: "bad_request",
		`{"symbol":"A","from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z"}`: "bad_request", `{"symbol":"A","max_age_ms":39}`: "too_stale", `7`: "bad_request",
	} {
		require.Contains(t, w.say(t, `{"type":"REQ_REPORT","id":1,"payload":`+payload+"}\n"), `"code":"`+code+`"`, payload)
	}
	for payload, code := range map[string]string{`{"limit":-1}`: "bad_request", `{"order":"up"}`: "bad_request", `{"kinds":["x"]}`: "bad_request", `{"symbols":["?"]}`: "bad_symbol", `{"limit":10001}`: "bad_request"} {
		require.Contains(t, w.say(t, `{"type":"REQ_HIST","id":1,"payload":`+payload+"}\n"), `"code":"`+code+`"`, payload)
	}
	for ask, code := range map[string]string{
		`"topic":"\u000a<<<"`: "bad_symbol", `"payload":{"symbols":["A"` + strings.Repeat(`,"A"`, 10_000) + `]}`: "bad_request", `"payload":7`: "bad_request",
	} {
		require.Contains(t, w.say(t, `{"type":"REQ_QUOTE","id":1,`+ask+"}\n"), `"code":"`+code+`"`, "%.40s", ask)
	}
	require.Contains(t, w.say(t, `{"type":"REQ_QUOTE","id":1,"payload":{"symbols":["A"],"pad":"`+strings.Repeat("x", 1<<20-200)+`"}}`+"\n"), `"RESP_QUOTE"`, "what core gets is ours")
	require.Contains(t, w.say(t, "GET / HTTP/2.0\n"), "bad_request", "what is neither JSON nor HTTP")
	require.Contains(t, w.say(t, `{"type":"SUBSCRIBE","topic":"*"}`+"\n"), "broker")
	require.Contains(t, w.say(t, `{"type":"REQ_STATUS"}`+"\n"), `"name":"shard-2"`)
	for path, code := range map[string]int{
		"/v1/report?symbol=NONE": 404, "/v1/report?symbol=%3Cscript%3E": 400, "/v1/report?limit=x": 400, "/v1/report?symbol=A&symbol=B": 400, "/v1/report?nope=1": 400,
		"/v1/report?symbol=A&max_age_ms=1": 503, "/v2": 404, "/../etc/passwd": 404, "/v1/report?symbol=A&budget_ms=0": 400, "/v1/report?symbol=A&min_coverage=NaN": 400,
	} {
		resp, body := w.get(t, path)
		require.Equal(t, code, resp.StatusCode, path)
		require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"), path)
		var p struct {
			Status int
			Report json.RawMessage
		}
		require.NoError(t, json.Unmarshal([]byte(body), &p))
		require.Equal(t, code, p.Status)
		require.Equal(t, strings.Contains(path, "max_age"), len(p.Report) > 0, "a report that was refused comes along")
		require.NotContains(t, body, "<script>")
	}
	resp, err := http.Post("http://"+w.addr+"/v1/report", "text/plain", strings.NewReader("x"))
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
}

func TestWithoutCoreThePriceIsTheShards(t *testing.T) {
	w := build(t, aggregator.Config{})
	w.core.stop()
	var r struct{ Payload wire.Report }
	require.Eventually(t, func() bool {
		require.NoError(t, json.Unmarshal([]byte(w.say(t, `{"type":"REQ_REPORT","payload":{"symbol":"A"}}`+"\n")), &r))
		return r.Payload.Failed+r.Payload.Skipped == 1
	}, 10*time.Second, time.Millisecond)
	require.Equal(t, "core", r.Payload.Sources[0].Name)
	require.NotEmpty(t, r.Payload.Errors)
	require.InDelta(t, 1, r.Payload.Coverage, 0, "history does not need core")
	require.NotNil(t, r.Payload.CurrentPrice)
	require.EqualValues(t, "core_lost", r.Payload.CurrentPrice.Quality.Reason)
}

func TestTheCourtesyCanBeSwitchedOff(t *testing.T) {
	w := build(t, aggregator.Config{NoCourtesy: true})
	nc, err := net.Dial("tcp", w.addr)
	require.NoError(t, err)
	defer nc.Close()
	require.NoError(t, nc.(*net.TCPConn).CloseWrite())
	got, err := io.ReadAll(nc)
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestWrongFlagsAreNamed(t *testing.T) {
	for want, cfg := range map[string]aggregator.Config{
		"core": {Core: "x"}, "broker": {Broker: "x"}, "shards": {Shards: "x"}, "default-symbol": {DefaultSymbol: "a b"}, "budget": {Budget: time.Hour}, "copies": {Copies: 4},
	} {
		cfg.Listen = "127.0.0.1:0"
		_, err := aggregator.New(cfg)
		require.ErrorContains(t, err, want)
	}
}
