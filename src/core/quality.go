package core

import "quotes/src/quote"

// feedState is what is known of the exchange; together with a symbol's own session it decides its quality.
type feedState struct {
	session uint64 // number of the session, 0 before the first
	up      bool   // the session is open and its first frame has come
	silent  bool   // no frame for as long as the limit
	open    bool   // the breaker before the exchange is not closed
}

// grade returns the quality of a price that was last refreshed in a session.
func (f *feedState) grade(session uint64) quote.Quality {
	switch {
	case f.up && !f.silent && session == f.session:
		return quote.Quality{State: quote.Live}
	case f.up && !f.silent:
		return quote.Quality{State: quote.Recovering}
	case f.open:
		return quote.Quality{State: quote.Stale, Reason: quote.BreakerOpen}
	case f.session == 0:
		return quote.Quality{State: quote.Stale, Reason: quote.Starting}
	}
	return quote.Quality{State: quote.Stale, Reason: quote.FeedSilent}
}

// turn changes what is known of the exchange and publishes what that does to every symbol.
func (b *book) turn(change func(*feedState)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	before := b.feed
	if change(&b.feed); b.feed != before {
		b.regrade()
	}
}

// begin says that a session's first frame has come.
func (b *book) begin(session uint64) {
	b.turn(func(f *feedState) {
		f.session, f.up, f.silent = session, true, false
		b.ordered = 0
	})
}

// connected reports whether the exchange's session is up.
func (b *book) connected() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.feed.up
}

// regrade publishes a record for each symbol whose quality is no longer what it was told: the last tick's fields,
// timestamp and received included, with the new quality. The lock is held.
func (b *book) regrade() {
	for _, name := range b.order {
		s := b.symbols[name]
		if q := b.feed.grade(s.session); q != s.quote.Quality {
			s.quote.Quality = q
			b.record(s)
		}
	}
	b.met.quality(b.feed.grade(b.feed.session))
}

// record publishes the symbol's row as it is. The lock is held.
func (b *book) record(s *symbol) {
	t := b.topic(quote.TopicOf(quote.Quotes, s.quote.Symbol))
	s.point = b.emit(t, s.quote.AppendJSON(nil))
}
