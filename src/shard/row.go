package shard

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"

	"quotes/src/quote"
	"quotes/src/wire"
)

// row is one record as it is stored: the payload's own bytes, and the two times that storage goes by.
type row struct {
	topic     quote.Topic
	point     quote.Point
	timestamp quote.Time // the venue's: history is ordered and asked for by it
	received  quote.Time // core's: retention goes by it; zero where the payload has none
	payload   []byte
}

// maxSeq bounds what we believe: beyond it arithmetic on seqs could overflow.
const maxSeq = 1 << 62

// rowJSON is the form of a stored record: its first byte. Other forms may be added.
const rowJSON = 1

// errBadRow says that a stored value is not what we wrote.
var errBadRow = errors.New("stored value not understood")

// errNoRow says that the index of times names a record that isn't there.
var errNoRow = errors.New("named by the index of times, but not stored")

// errLostRow says that a record that should be held is not there.
var errLostRow = errors.New("held, but not stored")

// head is what storage wants to know of a payload.
type head struct {
	Symbol    quote.Symbol `json:"symbol"`
	Timestamp quote.Time   `json:"timestamp"`
	Received  quote.Time   `json:"received"`
}

// quickHead reads a payload, which is valid JSON, as core writes it: without escapes or space, the three members before any value that
// is no string, each once; names in other cases, which encoding/json would take too, are not looked for. Where it isn't so, it says that.
// encoding/json takes ten times as long.
func quickHead(payload []byte, symbol quote.Symbol) (h head, ok bool) {
	if len(payload) < 2 || payload[0] != '{' || bytes.IndexByte(payload, '\\') >= 0 {
		return h, false
	}
	var name, timestamp, received []byte
	rest := payload[1:]
	for len(rest) > 0 && rest[0] == '"' {
		member, value, found := bytes.Cut(rest[1:], []byte(`":"`))
		if !found || bytes.IndexByte(member, '"') >= 0 {
			break // its value is no string
		}
		text, after, closed := bytes.Cut(value, []byte{'"'})
		if !closed || len(after) == 0 {
			return h, false
		}
		var to *[]byte
		switch string(member) {
		case "symbol":
			to = &name
		case "timestamp":
			to = &timestamp
		case "received":
			to = &received
		}
		if to != nil {
			if *to != nil {
				return h, false
			}
			*to = text
		}
		rest = after[1:]
		if after[0] != ',' {
			break
		}
	}
	for _, member := range []string{`"symbol"`, `"timestamp"`, `"received"`} {
		if bytes.Contains(rest, []byte(member)) {
			return h, false
		}
	}
	if string(name) != string(symbol) {
		return h, false
	}
	h.Symbol = symbol
	var err1, err2 error
	h.Timestamp, err1 = quote.ParseTime(string(timestamp))
	h.Received, err2 = quote.ParseTime(string(received))
	return h, err1 == nil && err2 == nil
}

// newRow checks a record that came over the wire. Errors are [*wire.Error]s.
func newRow(t quote.Topic, p quote.Point, payload json.RawMessage) (row, error) {
	head, ok := quickHead(payload, t.Symbol())
	if !ok {
		if err := json.Unmarshal(payload, &head); err != nil {
			return row{}, wire.Errorf(wire.BadRequest, "record %d of %s: %v", p.Seq, t, err)
		}
	}
	switch {
	case p.Seq == 0 || p.Seq > maxSeq:
		return row{}, wire.Errorf(wire.BadRequest, "record of %s: seq is %d, want 1 or more", t, p.Seq)
	case len(payload) > maxPayload:
		return row{}, wire.Errorf(wire.TooLarge, "record %d of %s has %d bytes, at most %d", p.Seq, t, len(payload), maxPayload)
	case head.Symbol != t.Symbol():
		return row{}, wire.Errorf(wire.BadRequest, "record %d of %s is of symbol %q", p.Seq, t, head.Symbol)
	case head.Timestamp.IsZero():
		return row{}, wire.Errorf(wire.BadRequest, "record %d of %s has no timestamp", p.Seq, t)
	}
	return row{t, p, head.Timestamp, head.Received, payload}, nil
}

// appendValue appends what is stored under the record's key.
func (r *row) appendValue(b []byte) []byte {
	b = binary.AppendVarint(append(b, rowJSON), int64(r.timestamp))
	b = binary.AppendVarint(b, int64(r.received))
	return append(b, r.payload...)
}

// parseRow reads what appendValue wrote; the payload is part of v.
func parseRow(t quote.Topic, p quote.Point, v []byte) (row, error) {
	if len(v) == 0 || v[0] != rowJSON {
		return row{}, fmt.Errorf("record %d/%d of %s: %w", p.Epoch, p.Seq, t, errBadRow)
	}
	timestamp, n := binary.Varint(v[1:])
	received, m := binary.Varint(v[1+max(n, 0):])
	if n <= 0 || m <= 0 {
		return row{}, fmt.Errorf("record %d/%d of %s: %w", p.Epoch, p.Seq, t, errBadRow)
	}
	return row{t, p, quote.Time(timestamp), quote.Time(received), v[1+n+m:]}, nil
}

// appendSpans writes a set of seqs: how many spans, then for each how far behind the last it begins and its length.
func appendSpans(b []byte, s *quote.Seqs) []byte {
	spans := s.Spans()
	b = binary.AppendUvarint(b, uint64(len(spans)))
	var last uint64
	for _, p := range spans {
		b = binary.AppendUvarint(b, p.First-last)
		b = binary.AppendUvarint(b, p.Len())
		last = p.Last
	}
	return b
}

// parseSpans reads what appendSpans wrote and returns what follows it.
func parseSpans(b []byte) (quote.Seqs, []byte, error) {
	var out quote.Seqs
	count, n := binary.Uvarint(b)
	if n <= 0 || count > uint64(len(b)) {
		return out, nil, errBadRow
	}
	b = b[n:]
	var last uint64
	for range count {
		skip, n := binary.Uvarint(b)
		length, m := binary.Uvarint(b[max(n, 0):])
		if n <= 0 || m <= 0 || skip == 0 || skip > maxSeq || length == 0 || length > maxSeq || last+skip+length > maxSeq+1 {
			return out, nil, errBadRow
		}
		b = b[n+m:]
		first := last + skip
		last = first + length - 1
		out.Add(first, last)
	}
	return out, b, nil
}
