package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

const (
	fillFor  = 3 * time.Second // the longest a LOST may hold up what comes behind it: less than a broker waits for a reader
	fillPage = 1000
	fillWait = 200 * time.Millisecond // until records that are on their way to the shards are asked for again
)

// filling is one LOST range that history is asked for.
type filling struct {
	wire.Lost
	got   uint64
	newer uint64      // of these, those of the epoch that the range ends in
	at    quote.Point // of the last record that came
	whole bool        // history called its last page complete
}

// complete reports whether all is there. A range that ends in another epoch than it begins in has no count: then history must call
// itself complete and have all of the newer epoch, which may still be on its way to the shards.
func (f *filling) complete() bool {
	if f.Count != nil {
		return f.got >= *f.Count
	}
	return f.whole && f.newer >= f.Before.Seq-1
}

// errUnsure says that a range without a count could not be proven whole.
var errUnsure = errors.New("history is not complete, and nobody knows how much there should be")

// fill shows what a LOST names, out of the shards' history, before anything that comes behind it, and returns how far it came. What it
// can't get it says.
func (s *follower) fill(l wire.Lost) (reached quote.Point) {
	f := &filling{Lost: l, at: l.After}
	if !s.fills || l.Topic.Kind() == quote.Status || s.conflates(l.Topic) {
		s.tracker.account(f, false) // nobody stores it, or conflation would have passed it over
		return f.at
	}
	ctx, cancel := context.WithTimeout(context.Background(), fillFor)
	defer cancel()
	go func() {
		select {
		case <-s.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := s.fetch(ctx, f)
	s.tracker.account(f, err == nil)
	switch {
	case err != nil:
		s.app.note("filled %d of %s of %s from history, then: %v", f.got, lostCount(l.Count), l.Topic, err)
	case l.Count != nil && f.got < *l.Count:
		s.app.note("filled %d of %s of %s: history has no more of them", f.got, lostCount(l.Count), l.Topic)
	}
	return f.at
}

// account counts what a LOST has cost in the end. Where it has no count, all is there if history was complete.
func (t *tracker) account(f *filling, complete bool) {
	t.filled += f.got
	switch {
	case f.Count != nil && f.got < *f.Count:
		t.missing += *f.Count - f.got
	case f.Count == nil && !complete:
		t.unsure++
	}
}

// fetch asks for page after page, and again for as long as records are missing that may still be on their way.
func (s *follower) fetch(ctx context.Context, f *filling) error {
	for {
		more, err := s.fetchPage(ctx, f)
		switch {
		case err != nil:
			return err
		case more:
		case f.complete():
			return nil
		default:
			select {
			case <-ctx.Done():
				if f.Count == nil {
					return errUnsure
				}
				return nil
			case <-time.After(fillWait):
			}
		}
	}
}

// fetchPage shows the next page of the range and reports whether there is another.
func (s *follower) fetchPage(ctx context.Context, f *filling) (more bool, err error) {
	most := fillPage
	pages, err := askFor[wire.RespHist](ctx, s.app, wire.Make(wire.TypeReqHist, wire.ReqHist{
		Symbols: []quote.Symbol{f.Topic.Symbol()}, Kinds: []quote.Kind{f.Topic.Kind()}, Limit: &most,
		After: map[quote.Topic]quote.Point{f.Topic: f.at}, Before: map[quote.Topic]quote.Point{f.Topic: f.Before},
	}))
	if err != nil {
		return false, err
	}
	for _, h := range pages {
		f.whole = h.Coverage == nil || *h.Coverage == 1
		for _, r := range h.Records {
			if r.Topic != f.Topic || r.Point().Compare(f.at) <= 0 || r.Point().Compare(f.Before) >= 0 {
				return false, fmt.Errorf("history gave %s %s, asked for what lies between %s and %s", r.Topic, at(r.Point()), at(f.at), at(f.Before))
			}
			if err := s.show(f.Topic, wire.Frame{Type: wire.TypePublish, Topic: string(f.Topic), Epoch: r.Epoch, Seq: r.Seq, Payload: r.Payload}); err != nil {
				s.stop(err)
				return false, err
			}
			f.at = r.Point()
			if f.got++; r.Epoch == f.Before.Epoch {
				f.newer++
			}
		}
		more = h.More
	}
	return more, nil
}
