package aggregator

import (
	"cmp"
	"slices"
	"strings"

	"quotes/src/quote"
)

// merger unites the shards' records: one order, no record twice.
type merger struct {
	byPosition bool
	desc       bool
}

// compare orders by timestamp, then topic and position; or by topic and position alone.
func (m merger) compare(a, b keyed) int {
	c := 0
	if !m.byPosition {
		c = cmp.Compare(a.at, b.at)
	}
	c = cmp.Or(c, strings.Compare(string(a.Topic), string(b.Topic)), a.Point().Compare(b.Point()))
	if m.desc {
		return -c
	}
	return c
}

// merge unites the answers. Where a shard has more than it sent, nothing behind its last record is kept: what it has
// there is not known, and a page must not have a hole. more says that there are further records.
func (m merger) merge(answers []*hist, limit int) (out []keyed, more bool) {
	var horizon *keyed
	for _, h := range answers {
		if len(answers) == 1 {
			out = h.records
		} else {
			out = append(out, h.records...)
		}
		if h.more {
			more = true
			if n := len(h.records); n > 0 && (horizon == nil || m.compare(h.records[n-1], *horizon) < 0) {
				horizon = &h.records[n-1]
			}
		}
	}
	if !slices.IsSortedFunc(out, m.compare) {
		slices.SortFunc(out, m.compare)
	}
	out = slices.CompactFunc(out, func(a, b keyed) bool { return a.Topic == b.Topic && a.Point() == b.Point() })
	if horizon != nil {
		last := *horizon
		end, found := slices.BinarySearchFunc(out, last, m.compare)
		if found {
			end++
		}
		out = out[:end]
	}
	if len(out) > limit {
		out, more = out[:limit], true
	}
	return out, more
}

// unite merges what the shards hold of each topic.
func unite(answers []*hist) map[quote.Topic][]quote.Range {
	type key struct {
		topic quote.Topic
		epoch uint64
	}
	sets := map[key]*quote.Seqs{}
	for _, h := range answers {
		for t, ranges := range h.ranges {
			for _, r := range ranges {
				if r.First == 0 || r.First > r.Last {
					continue
				}
				k := key{t, r.Epoch}
				if sets[k] == nil {
					sets[k] = &quote.Seqs{}
				}
				sets[k].Add(r.First, r.Last)
			}
		}
	}
	out := map[quote.Topic][]quote.Range{}
	for k, set := range sets {
		for _, s := range set.Spans() {
			out[k.topic] = append(out[k.topic], quote.Range{Epoch: k.epoch, First: s.First, Last: s.Last})
		}
	}
	for _, ranges := range out {
		slices.SortFunc(ranges, func(a, b quote.Range) int {
			return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.First, b.First))
		})
	}
	return out
}
