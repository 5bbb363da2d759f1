package core

import (
	"context"

	"quotes/src/quote"
	"quotes/src/wire"
)

// A shard that was away repairs itself from its twins without core. So that status tells the truth, core asks for the
// ranges that the shard holds: of all topics when a session begins (its volume may have been lost meanwhile), later of
// those whose mark is behind and has not moved since the last look.

// askSymbols bounds one question.
const askSymbols = 200

// forget drops what the shard was known to hold.
func (l *ledger) forget(shard int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.homes {
		for i, owner := range h.owners {
			if owner == shard {
				h.marks[i], h.seen[i] = 0, 0
			}
		}
	}
}

// behind lists symbols of which the shard is not known to hold everything, and has not come nearer to it lately.
func (l *ledger) behind(shard int) []quote.Symbol {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := map[quote.Symbol]bool{}
	var out []quote.Symbol
	for name, h := range l.homes {
		for i, owner := range h.owners {
			if owner != shard {
				continue
			}
			s := name.Symbol()
			if h.marks[i] < h.next-1 && h.marks[i] == h.seen[i] && !seen[s] {
				seen[s] = true
				out = append(out, s)
			}
			h.seen[i] = h.marks[i]
		}
	}
	return out
}

// learn asks the shard what it holds and raises its marks.
func (l *ledger) learn(ctx context.Context, s *wire.Session, shard int, epoch uint64) error {
	symbols := l.behind(shard)
	for len(symbols) > 0 {
		n := min(len(symbols), askSymbols)
		none := 0
		ranges := map[quote.Topic][]quote.Range{}
		err := s.Stream(ctx, wire.Make(wire.TypeReqHist, wire.ReqHist{Symbols: symbols[:n], Limit: &none}), func(f wire.Frame) error {
			var resp wire.RespHist
			err := f.Decode(&resp)
			for t, list := range resp.Ranges {
				ranges[t] = append(ranges[t], list...)
			}
			for _, floor := range resp.Floors { // what retention let go was stored
				if floor.Seq > 1 {
					ranges[floor.Topic] = append(ranges[floor.Topic], quote.Range{Epoch: floor.Epoch, First: 1, Last: floor.Seq - 1})
				}
			}
			return err
		})
		if err != nil {
			return err
		}
		l.held(shard, ranges, epoch)
		symbols = symbols[n:]
	}
	return nil
}

// held raises the marks of a shard by the ranges that it says it holds.
func (l *ledger) held(shard int, ranges map[quote.Topic][]quote.Range, epoch uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, list := range ranges {
		h := l.homes[name]
		if h == nil {
			continue
		}
		var have quote.Seqs
		for _, p := range h.lost.Spans() {
			have.Add(p.First, p.Last)
		}
		for _, r := range list {
			if r.Epoch == epoch && r.First > 0 && r.First <= r.Last {
				have.Add(r.First, r.Last)
			}
		}
		h.mark(shard, have.Through())
	}
}

// backlog returns what waits for each shard, for the metrics.
func (l *ledger) backlog() (bytes []int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.queues {
		bytes = append(bytes, q.bytes)
	}
	return bytes
}

// onOne counts records that are on one disk and not yet on all owners'.
func (l *ledger) onOne() (n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, h := range l.homes {
		both := h.both()
		n += max(h.any.Through(), both) - both
	}
	return n
}
