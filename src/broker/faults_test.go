package broker_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quotes/src/broker"
	"quotes/src/quote"
	"quotes/src/wire"
)

// follows reads frames of one topic until the seq, and holds them to being complete and in order.
func (c *conn) follows(topic string, from, to uint64) {
	c.t.Helper()
	for seq := from; seq <= to; seq++ {
		require.JSONEq(c.t, string(frame(topic, epoch, seq).Append(nil)), c.line())
	}
}

// A healthy reader gets everything in order whatever others do: drip, die in the middle of a line, half-close, reset, subscribe to
// thousands of topics, or never read.
func TestWhatOneClientDoesIsNotFeltByAnother(t *testing.T) {
	b := start(t, broker.Config{WriteTimeout: time.Minute, MaxTopics: 12_000})
	p := core(t, b, epoch, "a")
	healthy := dial(t, b)
	healthy.send(`{"type":"SUBSCRIBE","id":1,"topic":"trades.A","payload":{"snapshot":false}}`)
	require.Contains(t, healthy.line(), "SUBSCRIBED")

	drip := dial(t, b)
	_, err := io.WriteString(drip, `{"type":"SUBSCRIBE","to`)
	require.NoError(t, err)
	never := dial(t, b)
	never.send(`{"type":"SUBSCRIBE","topic":"*"}`)
	reset := dial(t, b)
	reset.send(`{"type":"SUBSCRIBE","topic":"*"}`)
	_, err = io.WriteString(reset, `{"type":"SUBSC`)
	require.NoError(t, err)
	require.NoError(t, reset.SetLinger(0))
	require.NoError(t, reset.Close()) // RST
	half := dial(t, b)
	half.send(`{"type":"SUBSCRIBE","id":1,"topic":"trades.A","payload":{"snapshot":false}}`)
	require.Contains(t, half.line(), "SUBSCRIBED")
	require.NoError(t, half.CloseWrite())
	many := dial(t, b)
	go func() {
		for i := range 10_000 {
			if _, err := fmt.Fprintf(many, `{"type":"SUBSCRIBE","topic":"quotes.T%d"}`+"\n", i); err != nil {
				return
			}
		}
	}()
	for range 10_000 {
		require.Contains(t, many.line(), "SUBSCRIBED")
	}
	many.send(`{"type":"SUBSCRIBE","id":2,"topic":"quotes.MORE"}`)
	require.Contains(t, many.line(), `"too_large"`)
	go func() {
		for i := range 10_000 {
			_, _ = p.Write(frame(fmt.Sprintf("quotes.T%d", i), epoch, 1).Append(nil))
		}
	}()
	got := map[string]bool{}
	for len(got) < 10_000 {
		var f wire.Frame
		require.NoError(t, json.Unmarshal([]byte(many.line()), &f))
		require.Equal(t, wire.TypePublish, f.Type)
		require.False(t, got[f.Topic], f.Topic)
		got[f.Topic] = true
	}

	const frames = 5000
	go func() {
		for seq := range uint64(frames) {
			_, _ = p.Write(frame("trades.A", epoch, seq+1).Append(nil))
		}
	}()
	healthy.follows("trades.A", 1, frames)
	half.follows("trades.A", 1, frames)
	p.publish("quotes.T77", epoch, 2)
	require.Contains(t, many.line(), `"quotes.T77"`)
}

func TestAPublisherThatDiesInTheMiddleOfAFrameLeavesWholeFramesOnly(t *testing.T) {
	b := start(t, broker.Config{})
	p := core(t, b, epoch, "a")
	sub := dial(t, b)
	sub.send(`{"type":"SUBSCRIBE","id":1,"topic":"trades.A","payload":{"snapshot":false}}`)
	require.Contains(t, sub.line(), "SUBSCRIBED")
	whole := frame("trades.A", epoch, 1).Append(nil)
	torn := frame("trades.A", epoch, 2).Append(nil)
	_, err := p.Write(append(whole, torn[:len(torn)-9]...))
	require.NoError(t, err)
	sub.follows("trades.A", 1, 1)
	require.NoError(t, p.Close())
	sub.source(wire.SourceLost)
	next := core(t, b, epoch, "a", wire.HelloTopic{Topic: "trades.A", Next: 2, Last: frame("trades.A", epoch, 1)})
	sub.source(wire.SourceLive)
	next.publish("trades.A", epoch, 2)
	sub.follows("trades.A", 2, 2)
}

// Subscriptions come, change and go on many connections while records come: under the race detector. Who stays sees every seq.
func TestAStormOfSubscriptions(t *testing.T) {
	b := start(t, broker.Config{})
	p := core(t, b, epoch, "a")
	stays := dial(t, b)
	stays.send(`{"type":"SUBSCRIBE","id":1,"topic":"trades.*"}`)
	require.Contains(t, stays.line(), "SUBSCRIBED")
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				c, err := net.Dial("tcp", b.Addr())
				if err != nil {
					return
				}
				for k := range 20 {
					mode := []wire.Mode{wire.ModeAll, wire.ModeLatest, wire.ModeSampled}[(n+k)%3]
					topic := []string{"*", "quotes.*", "trades.A", "quotes.A", "A"}[(n+i+k)%5]
					verb := []string{"SUBSCRIBE", "SUBSCRIBE", "UNSUBSCRIBE"}[k%3]
					_, _ = fmt.Fprintf(c, `{"type":%q,"topic":%q,"payload":{"mode":%q,"interval_ms":1}}`+"\n", verb, topic, mode)
				}
				_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
				_, _ = io.Copy(io.Discard, c)
				_ = c.Close()
			}
		})
	}
	const frames = 2000
	go func() {
		for seq := range uint64(frames) {
			_, _ = p.Write(frame("quotes.A", epoch, seq+1).Append(frame("trades.A", epoch, seq+1).Append(nil)))
		}
	}()
	stays.follows("trades.A", 1, frames)
	cancel()
	wg.Wait()
}

// A slow reader of everything is conflated on quotes and told how many it was spared; trades are never conflated: what it can't get is
// named. What it got, was spared and lost adds up to all.
func TestAReaderThatLagsIsToldExactlyWhatItMissed(t *testing.T) {
	b := start(t, broker.Config{Retention: 256 << 10, MaxLag: 64 << 10, WriteTimeout: time.Minute})
	p := core(t, b, epoch, "a")
	slow := dial(t, b)
	require.NoError(t, slow.SetReadBuffer(64<<10))
	slow.send(`{"type":"SUBSCRIBE","id":1,"topic":"*","payload":{"snapshot":false}}`)
	require.Contains(t, slow.line(), "SUBSCRIBED")
	const frames = 40_000
	var burst []byte
	for seq := range uint64(frames) {
		burst = frame("quotes.A", epoch, seq+1).Append(frame("trades.A", epoch, seq+1).Append(burst[:0]))
		_, err := p.Write(burst)
		require.NoError(t, err)
	}
	got := map[string]uint64{}
	last := map[string]uint64{}
	var skipped, lost uint64
	in := bufio.NewScanner(slow.in)
	for (last["quotes.A"] < frames || last["trades.A"] < frames) && in.Scan() {
		var f wire.Frame
		require.NoError(t, json.Unmarshal(in.Bytes(), &f), "%v %v: %s", last, got, in.Text())
		switch f.Type {
		case wire.TypePublish:
			require.Equal(t, last[f.Topic]+1+f.Skipped, f.Seq, in.Text())
			require.Equal(t, last[f.Topic], *f.Prev)
			got[f.Topic]++
			last[f.Topic] = f.Seq
			if f.Skipped > 0 {
				require.Equal(t, "quotes.A", f.Topic, "only quotes are conflated")
				require.Equal(t, "lag", f.Why)
				skipped += f.Skipped
			}
		case wire.TypeLost:
			var l wire.Lost
			require.NoError(t, f.Decode(&l))
			require.Equal(t, quote.Topic("trades.A"), l.Topic)
			require.Equal(t, last["trades.A"], l.After.Seq)
			last["trades.A"] = l.Before.Seq - 1
			lost += *l.Count
		}
	}
	require.NoError(t, in.Err())
	require.Equal(t, uint64(frames), got["quotes.A"]+skipped)
	require.Equal(t, uint64(frames), got["trades.A"]+lost)
	require.Positive(t, skipped+lost, "it never lagged: the test says nothing")
	status := dial(t, b)
	status.send(`{"type":"REQ_STATUS","id":1}`)
	require.Contains(t, strings.ReplaceAll(status.line(), " ", ""), fmt.Sprintf(`"skipped":%d,"lost":%d`, skipped, lost))
}

// However many topics there are, the broker says where each stands before it goes.
func TestABrokerThatLeavesTellsOfEveryTopic(t *testing.T) {
	b, err := broker.New(broker.Config{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	p := core(t, b, epoch, "a")
	all := dial(t, b)
	all.send(`{"type":"SUBSCRIBE","id":1,"topic":"*","payload":{"snapshot":false}}`)
	require.Contains(t, all.line(), "SUBSCRIBED")
	const topics = 3000
	for i := range topics {
		p.publish(fmt.Sprintf("quotes.S%d", i), epoch, 1)
	}
	in := bufio.NewScanner(all.in)
	in.Buffer(nil, 1<<20)
	told := map[string]uint64{}
	for got := 0; in.Scan() && !strings.Contains(in.Text(), "GOAWAY"); {
		var f wire.Frame
		require.NoError(t, json.Unmarshal(in.Bytes(), &f))
		if f.Type == wire.TypePublish {
			if got++; got == topics {
				clear(told)
				cancel()
			}
			continue
		}
		var beat struct {
			Topics map[string]struct{ Next uint64 }
		}
		require.NoError(t, f.Decode(&beat))
		for name, at := range beat.Topics {
			told[name] = at.Next
		}
	}
	require.NoError(t, in.Err())
	require.Len(t, told, topics)
	for name, next := range told {
		require.EqualValues(t, 2, next, name)
	}
	require.NoError(t, <-done)
}

// Who leaves says so last: what is owed goes out first, then where every topic stands.
func TestABrokerThatLeavesPaysWhatItOwes(t *testing.T) {
	b, err := broker.New(broker.Config{Listen: "127.0.0.1:0"})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	p := core(t, b, epoch, "a")
	sampled := dial(t, b)
	sampled.send(`{"type":"SUBSCRIBE","id":1,"topic":"quotes.A","payload":{"mode":"sampled","interval_ms":60000,"snapshot":false}}`)
	require.Contains(t, sampled.line(), "SUBSCRIBED")
	all := dial(t, b)
	all.send(`{"type":"SUBSCRIBE","id":1,"topic":"*","payload":{"snapshot":false}}`)
	require.Contains(t, all.line(), "SUBSCRIBED")
	p.publish("quotes.A", epoch, 1, 2, 3)
	require.Contains(t, sampled.line(), `"seq":`)
	p.publish("quotes.A", epoch, 4, 5, 6)
	all.follows("quotes.A", 1, 6)
	cancel()
	require.Contains(t, sampled.line(), `"seq":6`, "its minute is not over, but the broker is")
	for want := `"quotes.A":{"epoch":1000,"next":7,`; ; {
		line, err := all.in.ReadString('\n')
		require.NoError(t, err)
		require.NotContains(t, line, "GOAWAY", "before the last heartbeat")
		if strings.Contains(line, want) {
			break
		}
	}
	require.Contains(t, all.line(), "GOAWAY")
	require.NoError(t, <-done)
}
