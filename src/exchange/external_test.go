package exchange_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/exchange"
	"quotes/src/exchange/fault"
	"quotes/src/exchange/sim"
	"quotes/src/quote"
	"quotes/src/wire"
)

// start runs an exchange until the test ends.
func start(t *testing.T, cfg exchange.Config, symbols ...string) *exchange.External {
	t.Helper()
	gen, err := sim.New(sim.Config{Symbols: symbols, Rate: min(100, sim.MaxRate/float64(len(symbols)))})
	require.NoError(t, err)
	e := run(t, cfg, gen)
	require.Eventually(t, func() bool { return e.Ready() == nil }, 10*time.Second, time.Millisecond)
	return e
}

func run(t *testing.T, cfg exchange.Config, gen exchange.Generator) *exchange.External {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	e, err := exchange.New(cfg, gen)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return e
}

// client is a bare connection that reads frames.
type client struct {
	net.Conn
	in *bufio.Scanner
}

func dial(t *testing.T, e *exchange.External) *client {
	t.Helper()
	nc, err := net.Dial("tcp", e.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
	in := bufio.NewScanner(nc)
	in.Buffer(nil, wire.DefaultMaxLine)
	return &client{nc, in}
}

func (c *client) send(t *testing.T, line string) {
	t.Helper()
	_, err := c.Write([]byte(line + "\n"))
	require.NoError(t, err)
}

// next returns the next frame; ok is false at the end of the connection.
func (c *client) next() (f wire.Frame, ok bool) {
	if !c.in.Scan() {
		return f, false
	}
	f, err := wire.ParseFrame(c.in.Bytes())
	return f, err == nil
}

const subscribe = `{"type":"SUBSCRIBE","id":1,"topic":"*"}`

func TestASessionIsASnapshotAndThenEverything(t *testing.T) {
	e := start(t, exchange.Config{}, "A", "B")
	for range 3 { // any number of sessions, each with its own count
		c := dial(t, e)
		c.send(t, subscribe)
		f, _ := c.next()
		require.Equal(t, wire.TypeSubscribed, f.Type)
		var seq uint64
		beats, snapshots := 0, map[string]bool{}
		for seq < 100 || beats < 3 {
			f, ok := c.next()
			require.True(t, ok)
			switch f.Type {
			case wire.TypeHeartbeat:
				beats++
			case wire.TypePublish:
				seq++
				require.Equal(t, seq, f.FeedSeq, "numbered without a hole")
				require.Zero(t, f.Epoch, "positions are core's")
				if f.Snapshot {
					snapshots[f.Topic] = true
				} else {
					require.True(t, snapshots["quotes.A"] && snapshots["quotes.B"], "the snapshot comes first")
				}
			}
		}
	}
}

func TestRequests(t *testing.T) {
	e := start(t, exchange.Config{}, "A", "B")
	c := dial(t, e)
	for request, want := range map[string]string{
		`{"type":"REQ_QUOTE","id":5,"topic":"B"}`:                              `"symbol":"B"`,
		`{"type":"REQ_QUOTE","id":5,"payload":{"symbols":["*"]}}`:              `[{"symbol":"A"`,
		`{"type":"REQ_QUOTE","id":5,"topic":"NONE"}`:                           `"code":"bad_symbol"`,
		`{"type":"REQ_QUOTE","id":5,"payload":{"symbols":7}}`:                  `"code":"bad_request"`,
		`{"type":"REQ_STATUS","id":5}`:                                         `"process":"external"`,
		`{"type":"SUBSCRIBE","id":5,"topic":"quotes.A"}`:                       `"code":"bad_symbol"`,
		`{"type":"SUBSCRIBE","id":5,"topic":"*","payload":{"mode":"sampled"}}`: `"code":"bad_request"`,
		`{"type":"REQ_QUOTE","id":5,"payload":{"symbols":["A","B","A"]}}`:      `"code":"bad_request"`,
		`{"type":"REQ_QUOTE","id":5,"payload":{"symbols":["B","A"]}}`:          `[{"symbol":"B"`,
		`{"type":"REQ_HIST","id":5}`:                                           `"code":"bad_request"`,
	} {
		c.send(t, request)
		f, ok := c.next()
		require.True(t, ok)
		require.EqualValues(t, 5, f.ID)
		require.Contains(t, string(f.Payload), want, request)
	}
	c.send(t, `{"type":"REQ_QUOTE","id":6}`)
	f, _ := c.next()
	require.Contains(t, string(f.Payload), `"symbol":"A"`, "the first symbol where none is named")
}

func TestAnOutageCutsAndRefuses(t *testing.T) {
	e := start(t, exchange.Config{}, "A")
	c := dial(t, e)
	c.send(t, subscribe)
	_, ok := c.next()
	require.True(t, ok)
	idle := dial(t, e) // such as that of a probe
	idle.send(t, `{"type":"REQ_STATUS"}`)
	_, ok = idle.next()
	require.True(t, ok)
	e.Outage(time.Hour)
	for ok {
		_, ok = c.next()
	}
	_, ok = idle.next()
	require.False(t, ok, "not only sessions end")
	require.False(t, answers(e), "connections are reset")
	e.Outage(0)
	require.Eventually(t, func() bool { return answers(e) }, 10*time.Second, 10*time.Millisecond)
}

// answers reports whether a new connection gets a session.
func answers(e *exchange.External) bool {
	nc, err := net.Dial("tcp", e.Addr())
	if err != nil {
		return false
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(5 * time.Second))
	_, _ = nc.Write([]byte(subscribe + "\n"))
	n, _ := nc.Read(make([]byte, 1))
	return n == 1
}

func TestAHangIsSilence(t *testing.T) {
	e := start(t, exchange.Config{}, "A")
	c := dial(t, e)
	c.send(t, subscribe)
	_, _ = c.next()
	e.Hang(time.Hour)
	require.NoError(t, c.SetReadDeadline(time.Now().Add(500*time.Millisecond)))
	for ok := true; ok; {
		_, ok = c.next() // what was on its way
	}
	require.ErrorIs(t, c.in.Err(), os.ErrDeadlineExceeded, "the connection stays open and says nothing")
	other := dial(t, e)
	other.send(t, subscribe)
	other.send(t, `{"type":"REQ_QUOTE"}`)
	require.NoError(t, other.SetReadDeadline(time.Now().Add(200*time.Millisecond)))
	_, ok := other.next()
	require.False(t, ok)
	require.ErrorIs(t, other.in.Err(), os.ErrDeadlineExceeded, "nor are new ones answered")
	late := dial(t, e)
	late.send(t, subscribe)
	e.Hang(0)
	f, _ := late.next()
	require.Equal(t, wire.TypeSubscribed, f.Type, "until the hang ends")
}

func TestAHangDoesNotHoldUpAStop(t *testing.T) {
	gen, err := sim.New(sim.Config{Symbols: []string{"A"}})
	require.NoError(t, err)
	e, err := exchange.New(exchange.Config{Listen: "127.0.0.1:0"}, gen)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	require.Eventually(t, func() bool { return e.Ready() == nil }, 10*time.Second, time.Millisecond)
	e.Hang(time.Hour)
	c := dial(t, e)
	c.send(t, subscribe)
	c.send(t, `{"type":"REQ_QUOTE","budget_ms":3600000}`)
	cancel()
	require.NoError(t, <-done)
}

func TestManySymbolsComeInSeveralFrames(t *testing.T) {
	symbols := make([]string, 2500)
	for i := range symbols {
		symbols[i] = "S" + strconv.Itoa(i)
	}
	c := dial(t, start(t, exchange.Config{}, symbols...))
	c.send(t, `{"type":"REQ_QUOTE","id":9,"payload":{"symbols":["*"]}}`)
	var got []string
	for more := true; more; {
		f, ok := c.next()
		require.True(t, ok)
		require.EqualValues(t, 9, f.ID)
		var quotes []quote.Quote
		require.NoError(t, f.Decode(&quotes))
		for _, q := range quotes {
			got = append(got, string(q.Symbol))
		}
		more = f.More
	}
	require.Equal(t, symbols, got)
}

func TestPlannedFaultsReachTheSession(t *testing.T) {
	for name, f := range map[string]fault.Config{"garbage": {Garbage: 1}, "cut": {Cut: 1}} {
		t.Run(name, func(t *testing.T) {
			e := start(t, exchange.Config{Faults: &f}, "A")
			c := dial(t, e)
			c.send(t, subscribe)
			for ok := true; ok; {
				_, ok = c.next()
			}
			if name == "garbage" {
				require.False(t, json.Valid(c.in.Bytes()))
			}
		})
	}
}

// mux collects the admin handlers.
type mux map[string]http.Handler

func (m mux) Handle(pattern string, h http.Handler) { m[pattern] = h }

func TestFaultsCanBeAskedForByPost(t *testing.T) {
	e := start(t, exchange.Config{}, "A")
	m := mux{}
	e.Handle(m)
	for query, code := range map[string]int{"for=0s": 200, "": 400, "for=-1s": 400, "for=2h": 400, "for=soon": 400} {
		w := httptest.NewRecorder()
		m["POST /-/hang"].ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/-/hang?"+query, nil))
		require.Equal(t, code, w.Code, query)
	}
}

// short is a market that says many things at once and ends.
type short struct{}

const shortTrades = 5000

func (short) Run(_ context.Context, listened <-chan struct{}, put func([]exchange.Record)) error {
	<-listened
	var all []exchange.Record
	for i := range shortTrades {
		all = append(all, exchange.Record{Trade: &quote.Trade{ID: strconv.Itoa(i), Symbol: "A", Price: dec("1"), Quantity: dec("1"), Timestamp: 1}})
	}
	put(all)
	return nil
}

func dec(s string) quote.Decimal {
	d, err := quote.ParseDecimal(s)
	if err != nil {
		panic(err)
	}
	return d
}

func TestAReplaysEndComesWholeAndThenConnectionsAreRefused(t *testing.T) {
	e := run(t, exchange.Config{}, short{})
	c := dial(t, e)
	c.send(t, subscribe)
	trades := 0
	for f, ok := c.next(); ok; f, ok = c.next() {
		if f.Type == wire.TypePublish {
			trades++
		}
	}
	require.Equal(t, shortTrades, trades)
	require.Eventually(t, func() bool {
		nc, err := net.Dial("tcp", e.Addr())
		if err == nil {
			nc.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	}, 10*time.Second, 10*time.Millisecond)
}

func TestPlannedOutages(t *testing.T) {
	e := start(t, exchange.Config{Faults: &fault.Config{OutageEvery: 400 * time.Millisecond, OutageFor: 200 * time.Millisecond}}, "A")
	for range 2 {
		require.Eventually(t, func() bool { return answers(e) }, 10*time.Second, 5*time.Millisecond)
		c := dial(t, e)
		c.send(t, subscribe)
		for ok := true; ok; {
			_, ok = c.next()
		}
		require.False(t, answers(e), "an outage takes a while")
	}
}

func TestAPortInUseIsNamed(t *testing.T) {
	e := start(t, exchange.Config{}, "A")
	_, err := exchange.New(exchange.Config{Listen: e.Addr()}, short{})
	require.ErrorContains(t, err, e.Addr())
	require.ErrorContains(t, err, "is another external running?")
}

// broken is a market that can't go on.
type broken struct{}

func (broken) Run(context.Context, <-chan struct{}, func([]exchange.Record)) error {
	return errors.New("the tape is torn")
}

func TestABrokenMarketEndsTheProcess(t *testing.T) {
	e, err := exchange.New(exchange.Config{Listen: "127.0.0.1:0"}, broken{})
	require.NoError(t, err)
	require.ErrorContains(t, e.Run(t.Context()), "the tape is torn")
}
