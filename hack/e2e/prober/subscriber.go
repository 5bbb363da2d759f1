package prober

import (
	"context"
	"maps"
	"sync"
	"time"

	"quotes/hack/e2e/history"
	"quotes/src/quote"
	"quotes/src/wire"
)

// subscriber follows all topics, every record, and records what it is sent. After a cut it resumes from its positions.
type subscriber struct {
	history *history.Recorder
	client  *wire.Client

	mu   sync.Mutex
	last map[quote.Topic]quote.Point
}

// answerIn bounds the wait for SUBSCRIBED: a proxy on the way may have taken the connection while nobody is behind it.
const answerIn = 2 * time.Second

func newSubscriber(broker string, h *history.Recorder) *subscriber {
	s := &subscriber{history: h, last: map[quote.Topic]quote.Point{}}
	s.client = wire.NewClient(wire.ClientConfig{
		Dial: wire.DialConfig{Addr: broker, OnFrame: s.frame}, OnUp: s.subscribe, OnDown: s.down, MaxBackoff: 250 * time.Millisecond,
	})
	return s
}

func (s *subscriber) run(ctx context.Context) { _ = s.client.Run(ctx) }

func (s *subscriber) subscribe(ctx context.Context, session *wire.Session) error {
	s.mu.Lock()
	req := wire.Subscribe{Mode: wire.ModeAll, From: maps.Clone(s.last)}
	s.mu.Unlock()
	f := wire.Make(wire.TypeSubscribe, req)
	f.Topic = "*"
	ctx, cancel := context.WithTimeout(ctx, answerIn)
	defer cancel()
	if _, err := session.Do(ctx, f); err != nil {
		return err
	}
	s.history.Add(history.Event{Kind: history.Up, At: time.Now()})
	return nil
}

func (s *subscriber) down(err error) {
	s.history.Add(history.Event{Kind: history.Down, At: time.Now(), Text: err.Error()})
}

func (s *subscriber) frame(f wire.Frame) {
	switch f.Type {
	case wire.TypePublish:
		s.publish(&f)
	case wire.TypeLost:
		var l wire.Lost
		if err := f.Decode(&l); err != nil {
			s.fault(err)
			return
		}
		s.mu.Lock()
		s.last[l.Topic] = quote.Point{Epoch: l.Before.Epoch, Seq: l.Before.Seq - 1}
		s.mu.Unlock()
		s.history.Add(history.Event{Kind: history.Lost, At: time.Now(), Topic: l.Topic, Gap: &l})
	case wire.TypeHeartbeat:
		var h wire.Heartbeat
		if err := f.Decode(&h); err != nil {
			s.fault(err)
			return
		}
		s.history.Add(history.Event{Kind: history.Heartbeat, At: time.Now(), Source: h.Source})
	case wire.TypeError:
		s.fault(wire.ErrorOf(f))
	}
}

func (s *subscriber) publish(f *wire.Frame) {
	e := history.Event{
		Kind: history.Frame, At: time.Now(), Topic: quote.Topic(f.Topic), Epoch: f.Epoch, Seq: f.Seq,
		Prev: f.Prev, PrevEpoch: f.PrevEpoch, Skipped: f.Skipped, Snapshot: f.Snapshot, Source: f.Source,
	}
	if e.Topic.Kind() == quote.Quotes {
		var q quote.Quote
		if err := f.Decode(&q); err != nil {
			s.fault(err)
			return
		}
		e.Symbol, e.State, e.Reason = q.Symbol, q.Quality.State, q.Quality.Reason
	}
	s.mu.Lock()
	s.last[e.Topic] = e.Point()
	s.mu.Unlock()
	s.history.Add(e)
}

func (s *subscriber) fault(err error) {
	s.history.Add(history.Event{Kind: history.Fault, At: time.Now(), Text: err.Error()})
}
