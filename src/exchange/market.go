package exchange

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"quotes/src/quote"
	"quotes/src/wire"
)

// maxWaiting bounds what waits for one session, in events.
const maxWaiting = 1 << 16

// Market is the [Source] made of a generator: it knows the last of everything, so that a session can begin at any time.
type Market struct {
	gen      Generator
	listened chan struct{} // closed by the first session
	once     sync.Once
	met      *metrics

	mu    sync.Mutex
	order []quote.Symbol
	last  map[quote.Symbol]*last
	subs  map[*sub]struct{}
	ended bool
}

// last is what a snapshot tells of a symbol.
type last struct {
	quote        quote.Quote
	quoted, sold Event // the newest of each topic; without payload where there was none
}

// sub is one session's queue.
type sub struct {
	waiting []Event
	slow    bool
	ready   chan struct{}
}

// NewMarket returns the market of a generator; Run must run.
func NewMarket(gen Generator, met *metrics) *Market {
	return &Market{gen: gen, listened: make(chan struct{}), met: met, last: map[quote.Symbol]*last{}, subs: map[*sub]struct{}{}}
}

// Run runs the generator until ctx ends. It returns [ErrEnded] when there is nothing more to come.
func (m *Market) Run(ctx context.Context) error {
	err := m.gen.Run(ctx, m.listened, m.put)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	for s := range m.subs {
		s.wake()
	}
	switch {
	case err != nil && ctx.Err() == nil:
		return err
	case ctx.Err() != nil:
		return nil
	}
	return ErrEnded
}

// put encodes a burst once and queues it for every session. What is wrong is refused and counted.
func (m *Market) put(records []Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	events := make([]Event, 0, len(records))
	for i := range records {
		if e, ok := m.take(&records[i]); ok {
			events = append(events, e)
		}
	}
	m.met.events.Add(float64(len(events)))
	for s := range m.subs {
		if len(s.waiting)+len(events) > maxWaiting {
			s.slow, s.waiting = true, nil
		}
		if !s.slow {
			s.waiting = append(s.waiting, events...)
		}
		s.wake()
	}
}

// take remembers a record and encodes it. The lock is held.
func (m *Market) take(r *Record) (Event, bool) {
	switch {
	case r.Quote != nil && r.Quote.Validate() == nil && !crossed(r.Quote):
		l := m.row(r.Quote.Symbol)
		l.quote = *r.Quote
		l.quoted = Event{quote.TopicOf(quote.Quotes, r.Quote.Symbol), r.Quote.AppendJSON(nil), r.Snapshot, r.Untimed}
		return l.quoted, true
	case r.Trade != nil && r.Trade.Validate() == nil:
		l := m.row(r.Trade.Symbol)
		l.sold = Event{quote.TopicOf(quote.Trades, r.Trade.Symbol), r.Trade.AppendJSON(nil), r.Snapshot, r.Untimed}
		return l.sold, true
	}
	m.met.refused.Inc()
	return Event{}, false
}

// crossed reports whether the bid is not below the ask.
func crossed(q *quote.Quote) bool {
	return !q.Bid.IsZero() && !q.Ask.IsZero() && q.Bid.Cmp(q.Ask) >= 0
}

func (m *Market) row(s quote.Symbol) *last {
	l := m.last[s]
	if l == nil {
		l = &last{}
		m.last[s] = l
		m.order = append(m.order, s)
	}
	return l
}

// Quotes implements [Source].
func (m *Market) Quotes(_ context.Context, symbols []string) ([]quote.Quote, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := slices.DeleteFunc(slices.Clone(m.order), func(s quote.Symbol) bool { return m.last[s].quote.Symbol == "" })
	switch {
	case len(known) == 0:
		return nil, wire.Errorf(wire.Unavailable, "the market has said nothing yet")
	case len(symbols) == 0:
		known = known[:1]
	case !slices.Contains(symbols, "*"):
		known = known[:0]
		for _, s := range symbols {
			known = append(known, quote.Symbol(s))
		}
	}
	out := make([]quote.Quote, 0, len(known))
	for _, s := range known {
		l := m.last[s]
		if l == nil || l.quote.Symbol == "" {
			return nil, fmt.Errorf("%w: %.40q is not traded here", quote.ErrBadSymbol, s)
		}
		out = append(out, l.quote)
	}
	return out, nil
}

// Stream implements [Source].
func (m *Market) Stream(ctx context.Context, emit func([]Event) error) error {
	s := &sub{ready: make(chan struct{}, 1)}
	if err := emit(m.join(s)); err != nil {
		m.leave(s)
		return err
	}
	defer m.leave(s)
	m.once.Do(func() { close(m.listened) })
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ready:
		}
		events, err := m.drain(s)
		if len(events) > 0 {
			if err := emit(events); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
	}
}

// join returns the snapshot and begins to queue in the same instant.
func (m *Market) join(s *sub) []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []Event
	for _, name := range m.order {
		for _, e := range []Event{m.last[name].quoted, m.last[name].sold} {
			if len(e.Payload) > 0 {
				e.Snapshot = true
				out = append(out, e)
			}
		}
	}
	m.subs[s] = struct{}{}
	if m.ended {
		s.wake()
	}
	return out
}

func (m *Market) leave(s *sub) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.subs, s)
}

// drain takes what waits, and the reason why nothing more will come.
func (m *Market) drain(s *sub) ([]Event, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := s.waiting
	s.waiting = nil
	switch {
	case s.slow:
		return nil, ErrSlow
	case m.ended:
		return out, ErrEnded
	}
	return out, nil
}

func (s *sub) wake() {
	select {
	case s.ready <- struct{}{}:
	default:
	}
}
