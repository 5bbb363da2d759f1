package quote

import (
	"slices"
	"sort"
)

// Span is a run of contiguous seqs, both ends inclusive.
type Span struct{ First, Last uint64 }

// Len returns how many seqs the span holds.
func (s Span) Len() uint64 { return s.Last - s.First + 1 }

// Seqs is a set of seqs of one topic and epoch, kept as sorted spans that do not touch. The zero Seqs is empty.
type Seqs struct{ spans []Span }

// Add puts first to last, both inclusive, into the set; first must be at least 1 and at most last.
func (s *Seqs) Add(first, last uint64) {
	n := len(s.spans)
	if n > 0 && s.spans[n-1].First <= first && first <= s.spans[n-1].Last+1 { // in order, as nearly always
		s.spans[n-1].Last = max(s.spans[n-1].Last, last)
		return
	}
	i := sort.Search(n, func(i int) bool { return s.spans[i].Last+1 >= first })
	j := i
	for ; j < n && s.spans[j].First <= last+1; j++ {
		first, last = min(first, s.spans[j].First), max(last, s.spans[j].Last)
	}
	s.spans = slices.Replace(s.spans, i, j, Span{first, last})
}

// Has reports whether seq is in the set.
func (s *Seqs) Has(seq uint64) bool {
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].Last >= seq })
	return i < len(s.spans) && s.spans[i].First <= seq
}

// Through returns the largest n for which 1 to n are all in the set, or 0.
func (s *Seqs) Through() uint64 {
	if len(s.spans) == 0 || s.spans[0].First > 1 {
		return 0
	}
	return s.spans[0].Last
}

// Count returns how many of first to last, both inclusive, are in the set; last may be first - 1, which is none.
func (s *Seqs) Count(first, last uint64) (n uint64) {
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].Last >= first })
	for ; i < len(s.spans) && s.spans[i].First <= last; i++ {
		n += min(s.spans[i].Last, last) - max(s.spans[i].First, first) + 1
	}
	return n
}

// Missing returns what of first to last is not in the set.
func (s *Seqs) Missing(first, last uint64) []Span {
	var out []Span
	i := sort.Search(len(s.spans), func(i int) bool { return s.spans[i].Last >= first })
	for ; i < len(s.spans) && first <= last; i++ {
		if f := s.spans[i].First; f > first {
			out = append(out, Span{first, min(f-1, last)})
		}
		first = max(first, s.spans[i].Last+1)
	}
	if first <= last {
		out = append(out, Span{first, last})
	}
	return out
}

// Spans returns the set's spans in order; they are the set's own and must not be changed.
func (s *Seqs) Spans() []Span { return s.spans }

// Len returns how many seqs the set holds.
func (s *Seqs) Len() uint64 {
	var n uint64
	for _, p := range s.spans {
		n += p.Len()
	}
	return n
}
