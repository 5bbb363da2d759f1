package exchange

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// errCrossed says that a quote's bid is not below its ask.
var errCrossed = errors.New("bid is not below ask")

// market is the [Source] made of a generator: it knows the last of everything, so that a session can begin at any time.
type market struct {
	gen      Generator
	listened chan struct{} // closed by the first session
	once     sync.Once
	met      *metrics
	log      *slog.Logger

	mu      sync.Mutex
	order   []quote.Symbol // as they were first named
	last    map[quote.Symbol]*last
	tape    tape
	subs    map[*sub]struct{}
	ended   bool
	left    chan struct{} // closed when it has ended and the last session has left
	refused int
	named   time.Time // when a refusal was last named in the log
}

// last is what a snapshot tells of a symbol.
type last struct {
	quote        quote.Quote
	quoted, sold Event // the newest of each topic; without payload where there was none
}

// newMarket returns the market of a generator; run must run.
func newMarket(gen Generator, met *metrics, log *slog.Logger) *market {
	return &market{
		gen: gen, listened: make(chan struct{}), left: make(chan struct{}), met: met, log: log,
		last: map[quote.Symbol]*last{}, subs: map[*sub]struct{}{},
	}
}

// run runs the generator until ctx ends. It returns [ErrEnded] when nothing more is to come and every session has it.
func (m *market) run(ctx context.Context) error {
	err := m.gen.Run(ctx, m.listened, m.put)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	m.end()
	select {
	case <-ctx.Done():
		return nil
	case <-m.left:
		return ErrEnded
	}
}

// put encodes a burst once and puts it on the tape. What is wrong is refused.
func (m *market) put(records []Record) {
	m.mu.Lock()
	defer m.mu.Unlock()
	events := 0
	for i := range records {
		e, err := m.take(&records[i])
		if err != nil {
			m.refuse(err)
			continue
		}
		m.tape.add(e)
		events++
	}
	m.met.events.Add(float64(events))
	for s := range m.subs {
		s.wake()
	}
}

// take remembers a record and encodes it. The lock is held.
func (m *market) take(r *Record) (Event, error) {
	switch {
	case r.Refused != nil:
		m.doubt(r.Unsure)
		return Event{}, r.Refused
	case r.Quote != nil:
		if err := check(r.Quote); err != nil {
			m.doubt(r.Quote.Symbol)
			return Event{}, err
		}
		l := m.row(r.Quote.Symbol)
		l.quote = *r.Quote
		l.quoted = Event{Topic: quote.TopicOf(quote.Quotes, r.Quote.Symbol), Payload: r.Quote.AppendJSON(nil), Snapshot: r.Snapshot, Untimed: r.Untimed}
		return l.quoted, nil
	}
	if err := r.Trade.Validate(); err != nil {
		return Event{}, err
	}
	l := m.row(r.Trade.Symbol)
	l.sold = Event{Topic: quote.TopicOf(quote.Trades, r.Trade.Symbol), Payload: r.Trade.AppendJSON(nil), Snapshot: r.Snapshot, Untimed: r.Untimed}
	return l.sold, nil
}

// check says why a quote must not go out.
func check(q *quote.Quote) error {
	if err := q.Validate(); err != nil {
		return err
	}
	if !q.Bid.IsZero() && !q.Ask.IsZero() && q.Bid.Cmp(q.Ask) >= 0 {
		return fmt.Errorf("%s: %w: %s and %s", q.Symbol, errCrossed, q.Bid, q.Ask)
	}
	return nil
}

// refuse counts what does not go out and names it, at most once a second. The lock is held.
func (m *market) refuse(err error) {
	m.met.refused.Inc()
	m.refused++
	if now := time.Now(); now.Sub(m.named) >= time.Second {
		m.named = now
		m.log.Warn("tick refused", "err", err, "refused_so_far", m.refused)
	}
}

// doubt keeps a symbol's last quote out of the snapshots to come, until there is a new one. The lock is held.
func (m *market) doubt(s quote.Symbol) {
	if l := m.last[s]; l != nil {
		l.quoted = Event{}
	}
}

func (m *market) row(s quote.Symbol) *last {
	l := m.last[s]
	if l == nil {
		l = &last{}
		m.last[s] = l
		m.order = append(m.order, s)
	}
	return l
}

// Quotes implements [Source].
func (m *market) Quotes(_ context.Context, symbols []string) ([]quote.Quote, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	quoted := slices.DeleteFunc(slices.Clone(m.order), func(s quote.Symbol) bool { return m.last[s].quote.Symbol == "" })
	ask := quoted
	switch {
	case len(quoted) == 0:
		return nil, wire.Errorf(wire.Unavailable, "the market has said nothing yet: ask again in a second")
	case len(symbols) == 0:
		ask = quoted[:1]
	case slices.Contains(symbols, "*"):
	case len(symbols) > len(quoted):
		return nil, wire.Errorf(wire.BadRequest, "%d symbols asked for where %d are traded", len(symbols), len(quoted))
	default:
		ask = make([]quote.Symbol, len(symbols))
		for i, s := range symbols {
			ask[i] = quote.Symbol(s)
		}
	}
	out := make([]quote.Quote, len(ask))
	for i, s := range ask {
		l := m.last[s]
		if l == nil || l.quote.Symbol == "" {
			return nil, fmt.Errorf("%w: %.40q is not traded here", quote.ErrBadSymbol, s)
		}
		out[i] = l.quote
	}
	return out, nil
}
