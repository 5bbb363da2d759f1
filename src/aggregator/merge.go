package aggregator

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"

	"quotes/src/quote"
	"quotes/src/scatter"
	"quotes/src/wire"
)

// merger unites the shards' records: one order, no record twice.
type merger struct {
	byPosition bool
	desc       bool
}

// keyed is a record with what it is ordered by.
type keyed struct {
	wire.Record
	at quote.Time
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
func (m merger) merge(rows []scatter.Row[wire.RespHist], limit int) (out []keyed, more bool) {
	var horizon *keyed
	for _, row := range rows {
		if row.State != scatter.OK {
			continue
		}
		records := m.keys(row.Answer.Records)
		out = append(out, records...)
		if row.Answer.More {
			more = true
			if n := len(records); n > 0 && (horizon == nil || m.compare(records[n-1], *horizon) < 0) {
				horizon = &records[n-1]
			}
		}
	}
	slices.SortFunc(out, m.compare)
	out = slices.CompactFunc(out, func(a, b keyed) bool { return a.Topic == b.Topic && a.Point() == b.Point() })
	if horizon != nil {
		end, found := slices.BinarySearchFunc(out, *horizon, m.compare)
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

// keys reads the timestamps. A record that can't be read sorts first and is still handed on: it is the reader's to judge.
func (m merger) keys(records []wire.Record) []keyed {
	out := make([]keyed, len(records))
	for i, r := range records {
		out[i].Record = r
		if !m.byPosition {
			var stamp struct {
				Timestamp quote.Time `json:"timestamp"`
			}
			_ = json.Unmarshal(r.Payload, &stamp)
			out[i].at = stamp.Timestamp
		}
	}
	return out
}

// unite merges what the shards hold of each topic.
func unite(rows []scatter.Row[wire.RespHist]) map[quote.Topic][]quote.Range {
	type key struct {
		topic quote.Topic
		epoch uint64
	}
	sets := map[key]*quote.Seqs{}
	for _, row := range rows {
		for t, ranges := range row.Answer.Ranges {
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
