package broker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"quotes/src/broker"
	"quotes/src/quote"
	"quotes/src/wire"
)

func start(t *testing.T, cfg broker.Config) *broker.Broker {
	t.Helper()
	cfg.Listen = "127.0.0.1:0"
	b, err := broker.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-done) })
	return b
}

// conn is a bare client.
type conn struct {
	*net.TCPConn
	t  *testing.T
	in *bufio.Reader
}

func dial(t *testing.T, b *broker.Broker) *conn {
	t.Helper()
	nc, err := net.Dial("tcp", b.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { nc.Close() })
	require.NoError(t, nc.SetDeadline(time.Now().Add(20*time.Second)))
	return &conn{nc.(*net.TCPConn), t, bufio.NewReaderSize(nc, wire.DefaultMaxLine)}
}

func (c *conn) send(format string, args ...any) {
	c.t.Helper()
	_, err := fmt.Fprintf(c, format+"\n", args...)
	require.NoError(c.t, err)
}

// line returns the next line, heartbeats left aside.
func (c *conn) line() string {
	c.t.Helper()
	for {
		s, err := c.in.ReadString('\n')
		require.NoError(c.t, err)
		if !strings.Contains(s, `"HEARTBEAT"`) {
			return strings.TrimSpace(s)
		}
	}
}

// beat returns the source of the next heartbeat that says what is wanted.
func (c *conn) source(want string) {
	c.t.Helper()
	for {
		s, err := c.in.ReadString('\n')
		require.NoError(c.t, err)
		if strings.Contains(s, `"HEARTBEAT"`) && strings.Contains(s, `"source":"`+want+`"`) {
			return
		}
	}
}

const epoch = 1000

// core is a publisher with topics at seqs.
func core(t *testing.T, b *broker.Broker, epoch uint64, instance string, topics ...wire.HelloTopic) *conn {
	t.Helper()
	c := dial(t, b)
	hello, err := json.Marshal(wire.Hello{Role: "publisher", Epoch: epoch, Instance: instance, Topics: topics})
	require.NoError(t, err)
	c.send(`{"type":"HELLO","id":1,"payload":%s}`, hello)
	require.Contains(t, c.line(), `"WELCOME"`)
	return c
}

func frame(topic string, epoch, seq uint64) *wire.Frame {
	prev := seq - 1
	return &wire.Frame{Type: wire.TypePublish, Topic: topic, Epoch: epoch, Seq: seq, Prev: &prev, Payload: fmt.Appendf(nil, `{"n":%d}`, seq)}
}

func (c *conn) publish(topic string, epoch uint64, seqs ...uint64) {
	c.t.Helper()
	for _, seq := range seqs {
		_, err := c.Write(frame(topic, epoch, seq).Append(nil))
		require.NoError(c.t, err)
	}
}

func TestASubscriberGetsTheSnapshotAndThenEverything(t *testing.T) {
	b := start(t, broker.Config{})
	c := core(t, b, epoch, "i")
	c.publish("quotes.A", epoch, 1, 2)
	s := dial(t, b)
	require.Eventually(t, func() bool { return b.Topics()["quotes.A"].Next == 3 }, 10*time.Second, time.Millisecond)
	s.send(`{"type":"SUBSCRIBE","id":5,"topic":"quotes.*"}`)
	require.JSONEq(t, `{"type":"SUBSCRIBED","id":5,"payload":{"topic":"quotes.*","mode":"all"}}`, s.line())
	require.Regexp(t, `^{"type":"PUBLISH","topic":"quotes.A","epoch":1000,"seq":2,"snapshot":true,"held_ms":\d+,"payload":{"n":2}}$`, s.line())
	c.publish("quotes.A", epoch, 3)
	c.publish("quotes.B", epoch, 1)
	require.Equal(t, `{"type":"PUBLISH","topic":"quotes.A","epoch":1000,"seq":3,"prev":2,"payload":{"n":3}}`, s.line(), "as logged")
	require.Equal(t, `{"type":"PUBLISH","topic":"quotes.B","epoch":1000,"seq":1,"prev":0,"payload":{"n":1}}`, s.line(), "a new topic")
	c.publish("quotes.A", epoch, 6)
	require.JSONEq(t, `{"type":"LOST","payload":{"topic":"quotes.A","after":{"epoch":1000,"seq":3},"before":{"epoch":1000,"seq":6},"count":2}}`, s.line())
	require.Contains(t, s.line(), `"seq":6,"prev":5`)
	s.send(`{"type":"UNSUBSCRIBE","topic":"quotes.*"}`)
	s.send(`{"type":"SUBSCRIBE","topic":"trades.A","payload":{"snapshot":false}}`)
	require.Contains(t, s.line(), "SUBSCRIBED")
	c.publish("quotes.A", epoch, 7)
	c.publish("trades.A", epoch, 1)
	require.Contains(t, s.line(), `"trades.A"`, "nothing of what was unsubscribed")
}

// Clients of the original system send a bare symbol, close their side, and read one object a read.
func TestTheBareTopicCourtesy(t *testing.T) {
	b := start(t, broker.Config{})
	c := core(t, b, epoch, "i")
	c.publish("quotes.PETR4", epoch, 1)
	require.Eventually(t, func() bool { return b.Topics()["quotes.PETR4"].Next == 2 }, 10*time.Second, time.Millisecond)
	s := dial(t, b)
	s.send(`{"type":"SUBSCRIBE","topic":"PETR4"}`)
	require.NoError(t, s.CloseWrite())
	require.Regexp(t, `^{"type":"PUBLISH","topic":"PETR4","epoch":1000,"seq":1,"snapshot":true,"held_ms":\d+,"payload":{"n":1}}$`, s.line(), "no SUBSCRIBED")
	c.publish("quotes.PETR4", epoch, 2, 3, 4)
	last := s.line()
	for !strings.Contains(last, `"seq":4`) {
		last = s.line()
	}
	require.Contains(t, last, `"topic":"PETR4"`, "a half-closed reader goes on reading")

	s = dial(t, b)
	s.send(`{"type":"SUBSCRIBE","topic":"PETR4","payload":{"interval_ms":1500}}`)
	require.Contains(t, s.line(), `"seq":4,"snapshot":true`)
	c.publish("quotes.PETR4", epoch, 5, 6, 7)
	require.Regexp(t, `"seq":7,.*"skipped":2,"why":"sampled"`, s.line(), "a payload that names no mode leaves it sampled")
}

func TestResumeGoesOnBehindThePosition(t *testing.T) {
	b := start(t, broker.Config{Retention: 500, MaxLag: 500})
	c := core(t, b, epoch, "i")
	c.publish("quotes.A", epoch, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	require.Eventually(t, func() bool { return b.Topics()["quotes.A"].Next == 11 }, 10*time.Second, time.Millisecond)
	first := b.Topics()["quotes.A"].First
	require.Greater(t, first, uint64(3), "the log is bounded")
	s := dial(t, b)
	s.send(`{"type":"SUBSCRIBE","topic":"quotes.A","payload":{"from":{"quotes.A":{"epoch":1000,"seq":8}}}}`)
	s.line()
	require.Regexp(t, `"seq":9,"prev":8,"held_ms":\d+,`, s.line())
	require.Regexp(t, `"seq":10,"prev":9,"held_ms":\d+,`, s.line())
	c.publish("quotes.A", epoch, 11)
	require.Equal(t, string(frame("quotes.A", epoch, 11).Append(nil)), s.line()+"\n")
	old := dial(t, b)
	old.send(`{"type":"SUBSCRIBE","topic":"*","payload":{"from":{"quotes.A":{"epoch":1000,"seq":2}}}}`)
	old.line()
	var lost struct{ Payload wire.Lost }
	require.NoError(t, json.Unmarshal([]byte(old.line()), &lost))
	require.Equal(t, quote.Point{Epoch: epoch, Seq: 2}, lost.Payload.After)
	require.Equal(t, lost.Payload.Before.Seq-3, *lost.Payload.Count)
	require.Contains(t, old.line(), fmt.Sprintf(`"seq":%d,"prev":%d,`, lost.Payload.Before.Seq, lost.Payload.Before.Seq-1))
}

func TestARestartedBrokerIsRecoveringUntilHELLO(t *testing.T) {
	b := start(t, broker.Config{})
	s := dial(t, b)
	s.send(`{"type":"SUBSCRIBE","topic":"*","payload":{"from":{"quotes.B":{"epoch":1000,"seq":4}}}}`)
	require.Contains(t, s.line(), "SUBSCRIBED", "answered at once")
	s.source(wire.SourceRecovering)
	core(t, b, epoch, "i",
		wire.HelloTopic{Topic: "quotes.A", Next: 10, Last: frame("quotes.A", epoch, 9)},
		wire.HelloTopic{Topic: "quotes.B", Next: 8, Last: frame("quotes.B", epoch, 7)})
	var got []string
	for range 3 {
		got = append(got, s.line())
	}
	all := strings.Join(got, "\n")
	require.Regexp(t, `"topic":"quotes.A","epoch":1000,"seq":9,"snapshot":true`, all)
	require.Contains(t, all, `"after":{"epoch":1000,"seq":4},"before":{"epoch":1000,"seq":7},"count":2`)
	require.Regexp(t, `"topic":"quotes.B","epoch":1000,"seq":7,"prev":6`, all)
	s.source(wire.SourceLive)
}

// A topic that the publisher's epoch has not written on yet is not listed in HELLO: who has a position in it all the same, of
// an older epoch, hears of its first record as what it is to him.
func TestResumingATopicThatOnlyComesLater(t *testing.T) {
	b := start(t, broker.Config{})
	c := core(t, b, epoch+1, "i")
	s := dial(t, b)
	s.send(`{"type":"SUBSCRIBE","topic":"*","payload":{"from":{"status.core":{"epoch":1000,"seq":4}}}}`)
	require.Contains(t, s.line(), "SUBSCRIBED")
	c.publish("status.core", epoch+1, 1)
	require.Contains(t, s.line(), `"type":"LOST","payload":{"topic":"status.core","after":{"epoch":1000,"seq":4},"before":{"epoch":1001,"seq":1}}`,
		"nobody knows how many the older epoch had")
	require.Contains(t, s.line(), `"topic":"status.core","epoch":1001,"seq":1,"prev":0,`)
}

func TestWhatWasPublishedDuringACutIsLost(t *testing.T) {
	b := start(t, broker.Config{Silence: time.Hour}) // a cut is seen at once, not by the silence
	c := core(t, b, epoch, "i")
	c.publish("trades.A", epoch, 1)
	s := dial(t, b)
	s.send(`{"type":"SUBSCRIBE","topic":"trades.A"}`)
	s.line()
	require.Contains(t, s.line(), `"seq":1`)
	require.NoError(t, c.Close())
	s.source(wire.SourceLost)
	core(t, b, epoch, "i", wire.HelloTopic{Topic: "trades.A", Next: 5, Last: frame("trades.A", epoch, 4)})
	require.Contains(t, s.line(), `"after":{"epoch":1000,"seq":1},"before":{"epoch":1000,"seq":4},"count":2`)
	require.Contains(t, s.line(), `"seq":4,"prev":3`)
	s.source(wire.SourceLive)
	c = core(t, b, epoch+1, "j", wire.HelloTopic{Topic: "trades.A", Next: 1, Last: frame("trades.A", epoch, 4)})
	c.publish("trades.A", epoch+1, 1)
	require.Contains(t, s.line(), `"epoch":1001,"seq":1,"prev":4,"prev_epoch":1000`, "the first frame of an epoch names what was before")
}

// An older core got further than the broker ever heard, and the new one has published already: both parts are lost.
func TestTheTailOfAnOlderEpochIsLostToo(t *testing.T) {
	for name, c := range map[string]struct {
		tail  *quote.Point
		count string
	}{
		"known":         {&quote.Point{Epoch: epoch, Seq: 9}, `,"count":7`},
		"nothing of it": {&quote.Point{Epoch: epoch, Seq: 4}, `,"count":2`},
		"unknown":       {nil, ``},
		"epochs unseen": {&quote.Point{Epoch: epoch + 1, Seq: 9}, ``},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, broker.Config{})
			old := core(t, b, epoch, "i")
			old.publish("trades.A", epoch, 1, 2, 3, 4)
			require.Eventually(t, func() bool { return b.Topics()["trades.A"].Next == 5 }, 10*time.Second, time.Millisecond)
			s := dial(t, b)
			s.send(`{"type":"SUBSCRIBE","topic":"trades.A","payload":{"from":{"trades.A":{"epoch":1000,"seq":3}}}}`)
			s.line()
			require.Contains(t, s.line(), `"seq":4`)
			core(t, b, epoch+5, "j", wire.HelloTopic{Topic: "trades.A", Next: 4, Last: frame("trades.A", epoch+5, 3), Tail: c.tail})
			require.Contains(t, s.line(), `"after":{"epoch":1000,"seq":4},"before":{"epoch":1005,"seq":3}`+c.count+`}`)
			require.Contains(t, s.line(), `"epoch":1005,"seq":3`)
		})
	}
}

func TestAPositionThatNobodyGaveOutIsRefused(t *testing.T) {
	b := start(t, broker.Config{})
	c := core(t, b, epoch, "i")
	c.publish("quotes.A", epoch, 1, 2)
	require.Eventually(t, func() bool { return b.Topics()["quotes.A"].Next == 3 }, 10*time.Second, time.Millisecond)
	s := dial(t, b)
	for _, from := range []string{`{"epoch":1000,"seq":3}`, `{"epoch":1001,"seq":1}`} {
		s.send(`{"type":"SUBSCRIBE","topic":"*","payload":{"from":{"quotes.A":%s}}}`, from)
		require.Contains(t, s.line(), "bad_request", from)
	}
	s.send(`{"type":"SUBSCRIBE","topic":"NOPE"}`)
	require.Contains(t, s.line(), "bad_symbol", "a typing error is not met with silence")
	s.send(`{"type":"UNSUBSCRIBE","topic":"zz zz"}`)
	require.Contains(t, s.line(), "bad_symbol")
	s.send(`{"type":"SUBSCRIBE","topic":"*","payload":{"from":{"quotes.A":{"epoch":1000,"seq":2}}}}`)
	require.Contains(t, s.line(), "SUBSCRIBED")
	c.publish("quotes.A", epoch, 3)
	require.Contains(t, s.line(), `"seq":3,"prev":2`)
}

func TestCoresSilenceIsSeen(t *testing.T) {
	b := start(t, broker.Config{Silence: 300 * time.Millisecond})
	c := core(t, b, epoch, "i")
	s := dial(t, b)
	s.send(`{"type":"SUBSCRIBE","topic":"*"}`)
	s.source(wire.SourceLost)
	c.send(`{"type":"HEARTBEAT"}`)
	s.source(wire.SourceLive)
}

func TestOnlyTheNewestCorePublishes(t *testing.T) {
	b := start(t, broker.Config{})
	old := core(t, b, epoch, "i")
	for name, hello := range map[string]wire.Hello{
		"stale_epoch": {Role: "publisher", Epoch: epoch - 1, Instance: "x"}, "stale_epoch ": {Role: "publisher", Epoch: epoch, Instance: "x"},
		"bad_request": {Role: "publisher", Epoch: uint64(time.Now().Add(25 * time.Hour).UnixMilli()), Instance: "x"}, "bad_request ": {Role: "reader"},
	} {
		c := dial(t, b)
		raw, err := json.Marshal(hello)
		require.NoError(t, err)
		c.send(`{"type":"HELLO","id":1,"payload":%s}`, raw)
		require.Contains(t, c.line(), strings.TrimSpace(name))
	}
	ask := dial(t, b)
	ask.send(`{"type":"HELLO","id":1,"payload":{"role":"publisher"}}`)
	require.Contains(t, ask.line(), `"highest_epoch":1000`)
	next := core(t, b, epoch+5, "j")
	old.publish("quotes.A", epoch, 1)
	_, err := old.in.ReadString('\n')
	for err == nil {
		_, err = old.in.ReadString('\n')
	}
	next.publish("quotes.A", epoch, 1)
	require.Contains(t, next.line(), "stale_epoch")
	stranger := dial(t, b)
	stranger.publish("quotes.A", epoch+5, 1)
	require.Contains(t, stranger.line(), "not_authorized")
	require.Empty(t, b.Topics())
}

// What was published stays so: a core that is mistaken about where it stands can't put records before others, nor make a gap of them.
func TestPositionsNeverGoBack(t *testing.T) {
	b := start(t, broker.Config{})
	c := core(t, b, epoch, "i", wire.HelloTopic{Topic: "trades.A", Next: 10, Last: frame("trades.A", epoch, 9)})
	s := dial(t, b)
	s.send(`{"type":"SUBSCRIBE","id":1,"topic":"trades.A"}`)
	require.Contains(t, s.line(), "SUBSCRIBED")
	require.Contains(t, s.line(), `"seq":9,`)
	require.NoError(t, c.Close())
	c = core(t, b, epoch, "i", wire.HelloTopic{Topic: "trades.A", Next: 3})
	c.publish("trades.A", epoch, 3, 9, 10)
	require.Contains(t, s.line(), `"seq":10,"prev":9`)
	for _, last := range []*wire.Frame{frame("trades.A", epoch, 20), frame("trades.A", epoch+1, 1)} {
		other := dial(t, b)
		hello, err := json.Marshal(wire.Hello{Role: "publisher", Epoch: epoch, Instance: "i", Topics: []wire.HelloTopic{{Topic: "trades.A", Next: 20, Last: last}}})
		require.NoError(t, err)
		other.send(`{"type":"HELLO","id":1,"payload":%s}`, hello)
		require.Contains(t, other.line(), "bad_request")
	}
}

func TestBadRequestsGetAnErrorAndTheConnectionLives(t *testing.T) {
	b := start(t, broker.Config{MaxSubs: 2, MaxFrame: 100})
	c := core(t, b, epoch, "i")
	for line, want := range map[string]string{
		`{"type":"SUBSCRIBE","topic":""}`: "bad_symbol", `{"type":"SUBSCRIBE","topic":"petr4"}`: "bad_symbol",
		`{"type":"SUBSCRIBE","topic":"quotes."}`: "bad_symbol", `{"type":"SUBSCRIBE","topic":"foo.*"}`: "bad_symbol",
		`{"type":"SUBSCRIBE","topic":"*","payload":{"mode":"some"}}`: "bad_request", `{"type":"SUBSCRIBE","topic":"*","payload":7}`: "bad_request",
		`{"type":"SUBSCRIBE","topic":"*","payload":{"mode":"sampled","interval_ms":-1}}`:       "bad_request",
		`{"type":"SUBSCRIBE","topic":"*","payload":{"mode":"sampled","interval_ms":99999999}}`: "bad_request",
		`{"type":"SUBSCRIBE","topic":"*","payload":{"from":{"nope":{"epoch":1,"seq":1}}}}`:     "bad_symbol",
		`{"type":"REQ_REPORT"}`: "aggregator", `{"type":"WHAT"}`: "bad_request", `{"topic":"x"}`: "bad_request", `{"type":7}`: "bad_request",
		`{"type":"PUBLISH","topic":"quotes.A","epoch":1000,"seq":1}`:                                              "payload",
		`{"type":"PUBLISH","topic":"nope","epoch":1000,"seq":1,"payload":{}}`:                                     "bad_symbol",
		`{"type":"PUBLISH","topic":"quotes.A","epoch":1000,"seq":1,"payload":"` + strings.Repeat("x", 200) + `"}`: "too_large",
	} {
		c.send("%s", line)
		require.Contains(t, c.line(), want, line)
	}
	s := dial(t, b)
	for _, topic := range []string{"quotes.A", "quotes.B", "quotes.A"} {
		s.send(`{"type":"SUBSCRIBE","topic":"%s"}`, topic)
		require.Contains(t, s.line(), "SUBSCRIBED")
	}
	s.send(`{"type":"SUBSCRIBE","topic":"quotes.C"}`)
	require.Contains(t, s.line(), "too_large")
	s.send(`{"type":"REQ_STATUS","id":3}`)
	var st struct{ Payload wire.Status }
	require.NoError(t, json.Unmarshal([]byte(s.line()), &st))
	require.Equal(t, "broker", st.Payload.Process)
	require.Equal(t, "up", st.Payload.Peers[0].State)
	require.Len(t, st.Payload.Subscribers, 1)
}

// A reader that never reads is cut off, costs no queue, and slows nobody: by default within TCP_USER_TIMEOUT, else by the write's own time.
func TestAReaderThatDoesNotReadIsCutOff(t *testing.T) {
	for reason, timeout := range map[string]time.Duration{"not_reading": 200 * time.Millisecond, "took_nothing": 0} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			cutsOff(t, timeout, reason)
		})
	}
}

func cutsOff(t *testing.T, timeout time.Duration, reason string) {
	registry := prometheus.NewRegistry()
	b := start(t, broker.Config{WriteTimeout: timeout, MaxFrame: 32 << 10, Retention: 1 << 20, Metrics: registry})
	c := core(t, b, epoch, "i")
	stalled, good := dial(t, b), dial(t, b)
	for _, s := range []*conn{stalled, good} {
		s.send(`{"type":"SUBSCRIBE","topic":"trades.A"}`)
		require.Contains(t, s.line(), "SUBSCRIBED")
	}
	require.NoError(t, stalled.SetReadBuffer(4<<10))
	pad := strings.Repeat("x", 30<<10)
	published := make(chan uint64, 1)
	go func() {
		seq, last := uint64(0), false
		defer func() { published <- seq }()
		for began := time.Now(); !last; time.Sleep(time.Millisecond) {
			seq++
			last = seq > 100 && (b.Subscribers() == 1 || time.Since(began) > 15*time.Second)
			f := frame("trades.A", epoch, seq)
			f.Payload = fmt.Appendf(nil, `{"last":%v,"pad":%q}`, last, pad)
			if _, err := c.Write(f.Append(nil)); err != nil {
				return
			}
		}
	}()
	for !strings.Contains(good.line(), `{"last":true,`) {
	}
	require.Equal(t, 1, b.Subscribers(), "the stalled reader is gone")
	require.InDelta(t, 1, counted(t, registry, "quotes_broker_cutoff_total", reason), 0, "counted by its reason")
	require.InDelta(t, <-published, counted(t, registry, "quotes_broker_frames_in_total", ""), 0)
	require.Greater(t, counted(t, registry, "quotes_broker_frames_out_total", ""), 100.0)
	require.InDelta(t, 1<<20, counted(t, registry, "quotes_broker_log_bytes", ""), 64<<10, "the retention")
}

// counted returns a metric's value, of one label where that is not empty.
func counted(t *testing.T, registry *prometheus.Registry, name, label string) (n float64) {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && (label == "" || m.GetLabel()[0].GetValue() == label) {
				n += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return n
}
