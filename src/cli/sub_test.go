package cli

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/quote"
	"quotes/src/wire"
)

// feed serves a broker that accepts every subscription and then sends what script says for the n-th connection, 1 first.
// The script runs when the connection's last of so many patterns was subscribed to.
func feed(t *testing.T, addr string, patterns int, script func(n int, c *wire.Conn)) *server {
	t.Helper()
	var conns atomic.Int32
	return serve(t, addr, func(c *wire.Conn, f wire.Frame) {
		if f.Type != wire.TypeSubscribe {
			return
		}
		have, _ := c.Value().(int)
		c.SetValue(have + 1)
		c.Hold()
		_ = c.Reply(f, wire.Make(wire.TypeSubscribed, wire.Subscribed{Topic: f.Topic, Mode: wire.ModeAll}))
		if have+1 == patterns {
			script(int(conns.Add(1)), c)
		}
	})
}

const epoch = 1795419376123

// frame returns a PUBLISH as core writes it.
func frame(topic string, seq uint64, payload string) wire.Frame {
	prev := seq - 1
	return wire.Frame{Type: wire.TypePublish, Topic: topic, Epoch: epoch, Seq: seq, Prev: &prev, Payload: json.RawMessage(payload)}
}

func tick(seq uint64) wire.Frame {
	return frame("quotes.PETR4", seq, `{"symbol":"PETR4","price":"27.31","bid":"27.30","ask":"27.32","timestamp":"2026-11-23T14:00:00.123456Z","quality":{"state":"live"}}`)
}

func send(c *wire.Conn, frames ...wire.Frame) {
	for _, f := range frames {
		_ = c.Send(f)
	}
}

// subscribed returns what the n-th SUBSCRIBE said.
func subscribed(t *testing.T, s *server, n int) (topic string, req wire.Subscribe) {
	t.Helper()
	f := s.requests()[n]
	require.NoError(t, f.Decode(&req))
	return f.Topic, req
}

func mixed(c *wire.Conn) {
	snapshot := tick(41)
	held := int64(35)
	snapshot.Snapshot, snapshot.HeldMS = true, &held
	stale := frame("quotes.PETR4", 42, `{"symbol":"PETR4","price":"27.31","bid":"27.30","ask":"27.32","bid_size":"1200","ask_size":"800",`+
		`"timestamp":"2026-11-23T14:00:00.123456Z","quality":{"state":"stale","reason":"feed_silent"}}`)
	trade := frame("trades.BTC-USD", 1, `{"id":"9","symbol":"BTC-USD","price":"106123.45","quantity":"0.015","side":"sell","timestamp":"2026-11-23T14:00:01.000000Z"}`)
	breaker := frame("status.core", 3, `{"breaker":"exchange","from":"closed","to":"open","rule":"consecutive_failures","counts":{},"at":"2026-11-23T14:00:02.000000Z"}`)
	sampled := tick(50)
	sampled.Prev, sampled.Skipped, sampled.Why = new(uint64(42)), 7, "sampled"
	send(c, snapshot, stale, trade, breaker, sampled)
}

func TestSubShowsALineAFrame(t *testing.T) {
	for name, line := range map[string]string{
		"sub":        "sub * --count 5",
		"sub-wide":   "sub * --count 5 -o wide",
		"sub-json":   "sub * --count 1 -o json",
		"sub-ndjson": "sub * --count 5 -o ndjson",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := feed(t, "127.0.0.1:0", 1, func(_ int, c *wire.Conn) { mixed(c) })
			s := newSession(t, b, nil)
			s.golden(t, name, line, s.run(t, line))
		})
	}
}

func TestNDJSONIsTheFramesAsOnTheWire(t *testing.T) {
	odd := frame("quotes.PETR4", 1, `{"symbol":"PETR4","price":"27.30","extra":{"kept":[1,2]}}`)
	b := feed(t, "127.0.0.1:0", 1, func(_ int, c *wire.Conn) { send(c, odd) })
	s := newSession(t, b, nil)
	require.Equal(t, ExitOK, s.run(t, "sub PETR4 --count 1 -o ndjson"))
	require.Equal(t, string(odd.Append(nil)), s.out.String())
}

func TestSubAsksForWhatWasTyped(t *testing.T) {
	for _, tt := range []struct {
		line   string
		topics []string
		mode   wire.Mode
		ms     int64
	}{
		{"sub petr4", []string{"quotes.PETR4"}, wire.ModeAll, 0},
		{"sub trades.petr4 VALE3 VALE3", []string{"trades.PETR4", "quotes.VALE3"}, wire.ModeAll, 0},
		{"sub PETR4 quotes.* trades.VALE3 --mode latest", []string{"quotes.*", "trades.VALE3"}, wire.ModeLatest, 0},
		{"sub PETR4 * quotes.* --mode sampled", []string{"*"}, wire.ModeSampled, 0},
		{"sub status.core --interval 1s", []string{"status.core"}, wire.ModeSampled, 1000},
	} {
		b := feed(t, "127.0.0.1:0", len(tt.topics), func(_ int, c *wire.Conn) {
			send(c, frame("quotes.PETR4", 1, `{}`), frame("quotes.VALE3", 1, `{}`), frame("status.core", 1, `{}`))
		})
		require.Equal(t, ExitOK, newSession(t, b, nil).run(t, tt.line+" --count 1"), tt.line)
		var topics []string
		for i := range b.requests() {
			topic, req := subscribed(t, b, i)
			topics = append(topics, topic)
			require.Equal(t, tt.mode, req.Mode)
			require.Equal(t, tt.ms, req.IntervalMS)
			require.Empty(t, req.From)
		}
		require.Equal(t, tt.topics, topics)
	}
}

func TestSubEndsWell(t *testing.T) {
	endless := func(_ int, c *wire.Conn) {
		go func() {
			for seq := uint64(1); c.Send(tick(seq)) == nil; seq++ {
				select {
				case <-c.Context().Done():
				case <-time.After(time.Millisecond):
				}
			}
		}()
	}
	t.Run("after --count frames", func(t *testing.T) {
		s := newSession(t, feed(t, "127.0.0.1:0", 1, endless), nil)
		require.Equal(t, ExitOK, s.run(t, "sub PETR4 --count 3 -o ndjson"))
		require.Equal(t, 3, strings.Count(s.out.String(), "\n"))
		require.Empty(t, s.err.String())
	})
	t.Run("after --for", func(t *testing.T) {
		s := newSession(t, feed(t, "127.0.0.1:0", 1, endless), nil)
		require.Equal(t, ExitOK, s.run(t, "sub PETR4 --for 100ms"))
	})
	t.Run("on Ctrl-C", func(t *testing.T) {
		s := newSession(t, feed(t, "127.0.0.1:0", 1, endless), nil)
		ctx, cancel := context.WithCancel(t.Context())
		code := make(chan int)
		go func() { code <- Run(ctx, s.cfg, []string{"sub", "PETR4"}) }()
		require.Eventually(t, func() bool { return strings.Contains(s.out.String(), "27.31") }, 10*time.Second, time.Millisecond)
		cancel()
		require.Equal(t, ExitOK, <-code)
		require.Empty(t, s.err.String())
	})
	t.Run("on Ctrl-C while nobody reads the output", func(t *testing.T) {
		s := newSession(t, feed(t, "127.0.0.1:0", 1, endless), nil)
		blocked, release := make(chan struct{}, 1), make(chan struct{})
		defer close(release)
		s.cfg.Out = writer(func(b []byte) (int, error) {
			blocked <- struct{}{}
			<-release
			return len(b), nil
		})
		ctx, cancel := context.WithCancel(t.Context())
		code := make(chan int)
		go func() { code <- Run(ctx, s.cfg, []string{"sub", "PETR4"}) }()
		<-blocked
		cancel()
		require.Equal(t, ExitOK, <-code)
	})
	t.Run("but not when the output can't be written", func(t *testing.T) {
		s := newSession(t, feed(t, "127.0.0.1:0", 1, endless), nil)
		s.cfg.Out = writer(func([]byte) (int, error) { return 0, errors.New("disk full") })
		require.Equal(t, ExitError, s.run(t, "sub PETR4"))
		require.Equal(t, "quotectl: write the output: disk full\n", s.err.String())
	})
}

// writer is a function as an io.Writer.
type writer func([]byte) (int, error)

func (w writer) Write(b []byte) (int, error) { return w(b) }

func TestSubGoesOnAfterACut(t *testing.T) {
	b := feed(t, "127.0.0.1:0", 1, func(n int, c *wire.Conn) {
		if n == 1 {
			send(c, tick(41), tick(42))
			c.Close(nil)
			return
		}
		replayed := tick(43)
		replayed.HeldMS = new(int64(900))
		send(c, replayed, tick(44))
	})
	s := newSession(t, b, nil)
	require.Equal(t, ExitOK, s.run(t, "sub quotes.* --count 4 -o ndjson"))
	_, req := subscribed(t, b, 1)
	require.Equal(t, map[quote.Topic]quote.Point{"quotes.PETR4": {Epoch: epoch, Seq: 42}}, req.From)
	require.Equal(t, 4, strings.Count(s.out.String(), "\n"))
	messages := s.text(&s.err)
	require.Contains(t, messages, "cut off from the broker")
	require.Contains(t, messages, "connected to 127.0.0.1:<8081 again, going on from 1 positions")
	require.Contains(t, messages, "4 frames of 1 topics; 1 cuts")
}

func TestSubGoesOnAfterTheBrokerRestarted(t *testing.T) {
	first := feed(t, "127.0.0.1:0", 1, func(_ int, c *wire.Conn) { send(c, tick(41)) })
	s := newSession(t, first, nil)
	code := make(chan int)
	go func() { code <- Run(t.Context(), s.cfg, []string{"sub", "PETR4", "--count", "2", "-o", "ndjson"}) }()
	require.Eventually(t, func() bool { return s.out.String() != "" }, 10*time.Second, time.Millisecond)
	first.stop()
	lost := wire.Make(wire.TypeLost, wire.Lost{
		Topic: "quotes.PETR4", After: quote.Point{Epoch: epoch, Seq: 41},
		Before: quote.Point{Epoch: epoch, Seq: 50}, Count: new(uint64(8)),
	})
	feed(t, first.addr, 1, func(_ int, c *wire.Conn) { send(c, lost, tick(50)) })
	require.Equal(t, ExitOK, <-code)
	require.Contains(t, s.err.String(), "the broker is leaving")
	require.Contains(t, s.err.String(), "LOST quotes.PETR4: 8 frames between 1795419376123/41 and 1795419376123/50 are not in the broker's log any more")
	require.Contains(t, s.err.String(), "1 LOST")
}

func TestSubProvesGaps(t *testing.T) {
	b := feed(t, "127.0.0.1:0", 1, func(_ int, c *wire.Conn) { send(c, tick(41), tick(43), tick(43), tick(44)) })
	s := newSession(t, b, nil)
	require.Equal(t, ExitError, s.run(t, "sub PETR4 --count 3 -o ndjson"))
	require.Equal(t, 3, strings.Count(s.out.String(), "\n"), "a duplicate is not shown")
	require.Contains(t, s.err.String(), "GAP quotes.PETR4: after 1795419376123/41 came 1795419376123/43")
	require.Contains(t, s.err.String(), "1 duplicates, 1 gaps")
	require.Contains(t, s.err.String(), "1 unexplained gaps")
}

func TestSubTellsWhatTheBrokerTells(t *testing.T) {
	beat := func(source string) wire.Frame {
		return wire.Make(wire.TypeHeartbeat, wire.Heartbeat{Source: source})
	}
	lagged := tick(52)
	lagged.Prev, lagged.Skipped, lagged.Why = new(uint64(41)), 10, "lag"
	b := feed(t, "127.0.0.1:0", 1, func(_ int, c *wire.Conn) {
		first := tick(41)
		first.Snapshot, first.Source = true, wire.SourceLost
		send(c, first, beat(wire.SourceLost), beat(wire.SourceRecovering), beat(wire.SourceLive), beat(wire.SourceLive),
			lagged, beat(wire.SourceLive), beat(wire.SourceLive),
			wire.ErrorFrame(wire.Errorf(wire.Unavailable, "too slow")), frame("quotes.VALE3", 1, `{}`),
			wire.Make(wire.TypeLost, wire.Lost{Topic: "trades.*"}), frame("quotes.PETR4", 53, `{"price":1e9}`), tick(54))
	})
	s := newSession(t, b, nil)
	s.golden(t, "sub-told", "sub PETR4 --count 4", s.run(t, "sub PETR4 --count 4"))
}

func TestSubGivesUpWhereThereNeverWasABroker(t *testing.T) {
	s := newSession(t, nil, nil)
	s.golden(t, "sub-nobody", "sub PETR4 --timeout 300ms", s.run(t, "sub PETR4 --timeout 300ms"))

	mute := serve(t, "127.0.0.1:0", func(*wire.Conn, wire.Frame) {})
	s = newSession(t, mute, nil)
	s.golden(t, "sub-mute", "sub PETR4 --timeout 300ms", s.run(t, "sub PETR4 --timeout 300ms"))
}

func TestSubStopsWhenItIsRefused(t *testing.T) {
	b := serve(t, "127.0.0.1:0", func(c *wire.Conn, f wire.Frame) { _ = c.Fail(f, wire.Errorf(wire.BadSymbol, "no such topic")) })
	s := newSession(t, b, nil)
	require.Equal(t, ExitError, s.run(t, "sub NOSUCH --timeout 1m"))
	require.Contains(t, s.err.String(), "subscribe to quotes.NOSUCH: bad_symbol: no such topic")
	require.Len(t, b.requests(), 1)
}

func TestSubLeavesABrokerThatFellSilent(t *testing.T) {
	b := feed(t, "127.0.0.1:0", 1, func(n int, c *wire.Conn) {
		if n == 1 {
			send(c, tick(41)) // and no heartbeat ever
			return
		}
		send(c, tick(42))
	})
	s := newSession(t, b, nil)
	a := newApp(s.cfg)
	a.silence = 50 * time.Millisecond
	require.Equal(t, ExitOK, a.run(t.Context(), []string{"sub", "PETR4", "--count", "2"}))
	require.Contains(t, s.err.String(), "has been silent for 50ms")
}

func TestSubResumesFromAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "petr4.pos")
	at := map[quote.Topic]quote.Point{"quotes.PETR4": {Epoch: epoch, Seq: 42}}
	next := uint64(41)
	b := feed(t, "127.0.0.1:0", 1, func(_ int, c *wire.Conn) {
		send(c, tick(next), tick(next+1), tick(next+2)) // one more than is counted
	})
	require.Equal(t, ExitOK, newSession(t, b, nil).run(t, "sub PETR4 --count 2 --resume "+file))
	saved, err := loadPositions(file)
	require.NoError(t, err)
	require.Equal(t, at, saved)

	next = 43
	s := newSession(t, b, nil)
	require.Equal(t, ExitOK, s.run(t, "sub PETR4 --count 2 --resume "+file))
	_, req := subscribed(t, b, 1)
	require.Equal(t, at, req.From)
	require.Empty(t, s.err.String())

	for _, content := range []string{"no json", `{"prices.PETR4":{"epoch":1,"seq":1}}`} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		s := newSession(t, b, nil)
		require.Equal(t, ExitError, s.run(t, "sub PETR4 --resume "+file))
		require.Contains(t, s.err.String(), "read positions: "+file)
	}
	s = newSession(t, b, nil)
	require.Equal(t, ExitError, s.run(t, "sub PETR4 --count 1 --resume "+filepath.Join(file, "under", "a", "file")))
}
