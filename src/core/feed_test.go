package core

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/breaker"
	"quotes/src/wire"
)

// line is a connection that ends when the test says so.
type line struct{ done chan struct{} }

func (l line) Done() <-chan struct{} { return l.done }
func (line) Err() error              { return errors.New("connection reset") }

// promise is how long a price may be called live after the exchange is lost, and not live after the exchange has
// refreshed it.
const promise = time.Second

// exchange is one that the test plays, before core's own feed and breaker. Time is synctest's.
type exchange struct {
	*rig
	feed *feed
}

func newExchange(t *testing.T) *exchange {
	t.Helper()
	r := newRig(t, 1<<20)
	c := &Core{cfg: Config{Log: slog.New(slog.DiscardHandler)}}
	c.feed = &feed{silence: 500 * time.Millisecond, book: r.book, log: c.cfg.Log, met: r.met, wake: make(chan struct{}, 1)}
	c.book.Store(r.book)
	brk, err := breaker.New(breaker.Config{Name: "exchange", ConsecutiveFailures: 2, OnTransition: c.onTransition})
	require.NoError(t, err)
	c.feed.brk = brk
	return &exchange{r, c.feed}
}

// connect begins a session with a first frame that refreshes nothing.
func (e *exchange) connect(number uint64) (st *stream, l line, ended <-chan error) {
	st = &stream{feed: e.feed, number: number, first: make(chan struct{}), bad: make(chan error, 1), began: time.Now(), next: 1}
	l = line{make(chan struct{})}
	st.frame(wire.Frame{Type: wire.TypeHeartbeat})
	over := make(chan error, 1)
	go func() {
		err := st.watch(e.t.Context(), l)
		st.end()
		over <- err
	}()
	return st, l, over
}

// refresh is a quote of A.
func (st *stream) refresh() {
	st.frame(wire.Frame{
		Type: wire.TypePublish, Topic: "quotes.A", FeedSeq: st.next, Snapshot: true,
		Payload: []byte(`{"symbol":"A","price":"1.0","timestamp":"2026-01-01T00:00:00Z"}`),
	})
}

// says waits for A's next record.
func (e *exchange) says(want string) {
	e.t.Helper()
	began := time.Now()
	for time.Since(began) <= promise {
		synctest.Wait()
		for _, got := range e.published() {
			if strings.HasPrefix(got, "quotes.A ") {
				e.t.Logf("%s after %v", got, time.Since(began))
				require.Equal(e.t, want, got[strings.LastIndexByte(got, ' ')+1:])
				return
			}
		}
		time.Sleep(time.Millisecond)
	}
	require.Fail(e.t, "nothing was published within "+promise.String(), "want %s", want)
}

// Stale within a second of losing the exchange, however that happens, and live as soon as a symbol was refreshed after
// its return, not before.
func TestStaleAndLiveWithinASecond(t *testing.T) {
	for name, tt := range map[string]struct {
		lose func(st *stream, l line)
		want string
	}{
		"silence":     {func(*stream, line) {}, "stalefeed_silent"},
		"a cut":       {func(_ *stream, l line) { close(l.done) }, "stalefeed_silent"},
		"a gap":       {func(st *stream, _ line) { st.frame(wire.Frame{Type: wire.TypePublish, FeedSeq: st.next + 1}) }, "stalefeed_silent"},
		"a goodbye":   {func(st *stream, _ line) { st.frame(wire.Frame{Type: wire.TypeGoaway}) }, "stalefeed_silent"},
		"an error":    {func(st *stream, _ line) { st.frame(wire.Make(wire.TypeError, wire.Error{Code: wire.Unavailable})) }, "stalefeed_silent"},
		"an operator": {func(st *stream, _ line) { st.brk.Trip() }, "stalebreaker_open"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := newExchange(t)
				st, l, ended := e.connect(1)
				st.refresh()
				for range 30 {
					time.Sleep(100 * time.Millisecond)
					st.frame(wire.Frame{Type: wire.TypeHeartbeat})
				}
				e.says("live")
				require.Empty(t, e.published(), "a market may be quiet")
				tt.lose(st, l)
				e.says(tt.want)
				require.Error(t, <-ended)

				e.feed.brk.Reset()
				synctest.Wait()
				e.published()
				st, l, ended = e.connect(2)
				e.says("recovering")
				time.Sleep(400 * time.Millisecond)
				require.Empty(t, e.published())
				st.refresh()
				e.says("live")
				close(l.done)
				require.ErrorContains(t, <-ended, "reset")
			})
		})
	}
}
