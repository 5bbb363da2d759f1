package quote

import "cmp"

// Position is the one address of a record: in the broker's log, on the wire, in the shards, in a resume.
type Position struct {
	Topic Topic `json:"topic"`
	Point
}

// Point is a position within its topic. Seq starts at 1 in each epoch and is contiguous; an epoch is one start of core.
// The zero Point is before every record.
type Point struct {
	Epoch uint64 `json:"epoch"`
	Seq   uint64 `json:"seq"`
}

// Compare orders points: by epoch, then by seq.
func (p Point) Compare(q Point) int {
	return cmp.Or(cmp.Compare(p.Epoch, q.Epoch), cmp.Compare(p.Seq, q.Seq))
}

// IsZero reports whether p is before every record.
func (p Point) IsZero() bool { return p == Point{} }

// Range is a run of contiguous seqs of one epoch, both ends inclusive.
type Range struct {
	Epoch uint64 `json:"epoch"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// Len returns how many seqs the range holds.
func (r Range) Len() uint64 { return r.Last - r.First + 1 }
