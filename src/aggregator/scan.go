package aggregator

import (
	"bytes"
	"encoding/json"
	"strconv"

	"quotes/src/placement"
	"quotes/src/quote"
	"quotes/src/wire"
)

// hist is a shard's answer: RESP_HIST with the timestamps read.
type hist struct {
	records []keyed
	more    bool
	ranges  map[quote.Topic][]quote.Range
	inSync  map[int]bool
}

// keyed is a record with what it is ordered by.
type keyed struct {
	wire.Record
	at quote.Time
}

// add joins a further frame of the same answer. The frame was parsed, so its payload is valid JSON; it is read by hand,
// since encoding/json was half of the cost of a report. What does not look as shards write it goes the long way.
func (h *hist) add(payload []byte) error {
	if part, ok := scanHist(payload); ok {
		h.join(part)
		return nil
	}
	var resp wire.RespHist
	if err := json.Unmarshal(payload, &resp); err != nil {
		return wire.Errorf(wire.BadRequest, "RESP_HIST: %v", err)
	}
	part := hist{more: resp.More, ranges: resp.Ranges, inSync: resp.InSync}
	for _, r := range resp.Records {
		part.records = append(part.records, keyed{r, stamp(r.Payload)})
	}
	h.join(part)
	return nil
}

func (h *hist) join(part hist) {
	if h.records == nil {
		h.records = part.records
	} else {
		h.records = append(h.records, part.records...)
	}
	for t, r := range part.ranges {
		if h.ranges == nil {
			h.ranges = part.ranges
			break
		}
		h.ranges[t] = append(h.ranges[t], r...)
	}
	for slot, in := range part.inSync {
		if h.inSync == nil {
			h.inSync = part.inSync
			break
		}
		h.inSync[slot] = in
	}
	h.more = part.more
}

// stamp reads a record's timestamp. One that can't be read sorts first and is still handed on: it is the reader's to judge.
func stamp(payload []byte) (at quote.Time) {
	fields(payload, func(name, value []byte) bool {
		if string(name) != "timestamp" {
			return true
		}
		if s, ok := plain(value); ok {
			at, _ = quote.ParseTime(s)
		}
		return false
	})
	return at
}

// scanHist reads a RESP_HIST as shards write it.
func scanHist(b []byte) (h hist, ok bool) {
	good := true
	whole := fields(b, func(name, value []byte) bool {
		switch string(name) {
		case "records":
			h.records, good = scanRecords(value)
		case "more":
			h.more = string(value) == "true"
			good = h.more || string(value) == "false"
		case "in_sync":
			h.inSync = map[int]bool{}
			good = fields(value, func(slot, in []byte) bool {
				n, err := strconv.Atoi(string(slot))
				h.inSync[n] = string(in) == "true"
				return err == nil && n >= 0 && n < placement.Slots
			}) && good
		case "ranges":
			good = json.Unmarshal(value, &h.ranges) == nil
		}
		return good
	})
	return h, good && whole
}

func scanRecords(b []byte) (out []keyed, ok bool) {
	out = make([]keyed, 0, bytes.Count(b, []byte(`"seq":`)))
	var topic quote.Topic
	good := true
	whole := elements(b, func(value []byte) bool {
		var r keyed
		complete := fields(value, func(name, v []byte) bool {
			var err error
			switch string(name) {
			case "topic":
				s, plainly := rawPlain(v)
				if good = good && plainly; string(topic) != string(s) {
					topic = quote.Topic(s)
				}
				r.Topic = topic
			case "epoch":
				r.Epoch, err = strconv.ParseUint(string(v), 10, 64)
			case "seq":
				r.Seq, err = strconv.ParseUint(string(v), 10, 64)
			case "payload":
				r.Payload, r.at = v, stamp(v)
			}
			good = good && err == nil
			return good
		})
		good = good && complete && r.Payload != nil
		out = append(out, r)
		return good
	})
	return out, good && whole
}

// fields calls each with every member of a JSON object, until that returns false. It reports whether all were visited.
// Names with escapes are given as they stand. What is no object, or is cut off, is not visited further.
func fields(b []byte, each func(name, value []byte) bool) bool {
	return walk(b, '{', '}', func(b []byte, i int) int {
		name := i
		if i = value(b, i); i < 0 || b[name] != '"' {
			return -1
		}
		key := b[name+1 : i-1]
		if i = space(b, i); i >= len(b) || b[i] != ':' {
			return -1
		}
		from := space(b, i+1)
		if i = value(b, from); i < 0 || !each(key, b[from:i]) {
			return -1
		}
		return i
	})
}

// elements is fields for arrays.
func elements(b []byte, each func(value []byte) bool) bool {
	return walk(b, '[', ']', func(b []byte, i int) int {
		from := i
		if i = value(b, i); i < 0 || !each(b[from:i]) {
			return -1
		}
		return i
	})
}

// walk visits the comma-separated parts between two brackets; part returns where its part ends, or -1.
func walk(b []byte, opens, closes byte, part func([]byte, int) int) bool {
	i := space(b, 0)
	if i >= len(b) || b[i] != opens {
		return false
	}
	if i = space(b, i+1); i < len(b) && b[i] == closes {
		return true
	}
	for i < len(b) {
		if i = part(b, i); i < 0 {
			return false
		}
		i = space(b, i)
		switch {
		case i >= len(b):
			return false
		case b[i] == closes:
			return true
		case b[i] != ',':
			return false
		}
		i = space(b, i+1)
	}
	return false
}

func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

// value returns where the JSON value at i ends, or -1. It does not validate: brackets of either kind count alike.
func value(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch b[i] {
		case '"':
			if i = text(b, i); i < 0 {
				return -1
			}
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	if depth > 0 {
		return -1
	}
	return i
}

// text returns where the string at i ends, or -1.
func text(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return -1
}

// plain returns a string without escapes.
func plain(v []byte) (string, bool) {
	s, ok := rawPlain(v)
	return string(s), ok
}

func rawPlain(v []byte) ([]byte, bool) {
	if len(v) < 2 || v[0] != '"' || bytes.IndexByte(v, '\\') >= 0 {
		return nil, false
	}
	return v[1 : len(v)-1], true
}
