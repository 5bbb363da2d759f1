package shard

import (
	"cmp"
	"slices"

	"quotes/src/placement"
	"quotes/src/quote"
)

// holding is what the shard has of one topic in one epoch. Once it is in the state it is replaced, never changed: who has
// got it may read it without a lock.
type holding struct {
	epoch uint64
	held  quote.Seqs // on disk
	lost  quote.Seqs // named as lost; what came all the same counts as held
	done  quote.Seqs // either: accounted for
}

func newHolding(epoch uint64, held, lost quote.Seqs) *holding {
	h := &holding{epoch: epoch, held: held, lost: lost, done: cloneSeqs(&held)}
	addAll(&h.done, lost.Spans())
	return h
}

// clone returns a copy that may be changed.
func (h *holding) clone() *holding {
	return &holding{epoch: h.epoch, held: cloneSeqs(&h.held), lost: cloneSeqs(&h.lost), done: cloneSeqs(&h.done)}
}

func (h *holding) hold(seq uint64) {
	h.held.Add(seq, seq)
	h.done.Add(seq, seq)
}

func (h *holding) lose(first, last uint64) {
	h.lost.Add(first, last)
	h.done.Add(first, last)
}

// gone returns the seqs that were named as lost and never came.
func (h *holding) gone() []quote.Span {
	var out []quote.Span
	for _, p := range h.lost.Spans() {
		out = append(out, h.held.Missing(p.First, p.Last)...)
	}
	return out
}

// value is what is stored of a holding; parseHolding reads it.
func (h *holding) value() []byte { return appendSpans(appendSpans(nil, &h.held), &h.lost) }

func parseHolding(epoch uint64, v []byte) (*holding, error) {
	held, rest, err := parseSpans(v)
	if err != nil {
		return nil, err
	}
	lost, rest, err := parseSpans(rest)
	if err == nil && len(rest) > 0 {
		err = errBadRow
	}
	return newHolding(epoch, held, lost), err
}

// topic is all that the shard knows of one topic.
type topic struct {
	name     quote.Topic
	slot     int
	holdings []*holding  // by epoch, ascending
	floor    quote.Point // the first position that retention has left; zero is none

	// Of the epoch that core announced last:
	need  uint64 // through here every seq must be accounted for
	sent  uint64 // the highest seq that core has appended since its last HELLO; 0 is none
	whole bool   // every seq through need is accounted for
}

func newTopic(name quote.Topic) *topic {
	return &topic{name: name, slot: placement.Slot(string(name.Symbol())), whole: true}
}

func (t *topic) find(epoch uint64) (int, bool) {
	return slices.BinarySearchFunc(t.holdings, epoch, func(h *holding, e uint64) int { return cmp.Compare(h.epoch, e) })
}

// at returns what is held of an epoch; the answer must not be changed.
func (t *topic) at(epoch uint64) *holding {
	if t != nil {
		if i, found := t.find(epoch); found {
			return t.holdings[i]
		}
	}
	return &holding{epoch: epoch}
}

// put replaces what is held of an epoch. The slice is not changed in place: others may be reading the old one.
func (t *topic) put(h *holding) {
	i, found := t.find(h.epoch)
	next := slices.Clone(t.holdings)
	if found {
		next[i] = h
	} else {
		next = slices.Insert(next, i, h)
	}
	t.holdings = next
}

// newest returns the position of the newest record, if there is one.
func (t *topic) newest() (quote.Point, bool) {
	for _, h := range slices.Backward(t.holdings) {
		if spans := h.held.Spans(); len(spans) > 0 {
			return quote.Point{Epoch: h.epoch, Seq: spans[len(spans)-1].Last}, true
		}
	}
	return quote.Point{}, false
}

func cloneSeqs(s *quote.Seqs) (out quote.Seqs) {
	addAll(&out, s.Spans())
	return out
}

func addAll(s *quote.Seqs, spans []quote.Span) {
	for _, p := range spans {
		s.Add(p.First, p.Last)
	}
}
