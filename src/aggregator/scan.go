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
	ranges  map[quote.Topic][]quote.Range // nil where records are all that is wanted
	inSync  map[int]bool
}

// keyed is a record with what it is ordered by.
type keyed struct {
	wire.Record
	at quote.Time
}

// add joins a further frame of the same answer. The frame was parsed, so its payload is valid JSON; it is read by hand,
// since encoding/json was half of the cost of a report, and its ranges only where they are wanted. What does not look as
// shards write it goes the long way.
func (h *hist) add(payload []byte, ranges bool) error {
	if part, ok := scanHist(payload, ranges); ok {
		h.join(part)
		return nil
	}
	var resp wire.RespHist
	if err := json.Unmarshal(payload, &resp); err != nil {
		return theirs("RESP_HIST", err)
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

// scanHist reads a RESP_HIST as shards write it: the records first.
func scanHist(b []byte, ranges bool) (h hist, ok bool) {
	const opening = `{"records":[`
	if !bytes.HasPrefix(b, []byte(opening)) {
		return h, false
	}
	records, end := scanRecords(b, len(opening))
	if end < 0 {
		return h, false
	}
	h.records = records
	good := true
	whole := members(b, end, func(name, value []byte) bool {
		switch string(name) {
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
			good = !ranges || json.Unmarshal(value, &h.ranges) == nil
		}
		return good
	})
	return h, good && whole
}

// usualRecord is about how many bytes a record takes.
const usualRecord = 240

// scanRecords reads the elements of the array whose first one is at i. It returns where the array ends, or -1.
func scanRecords(b []byte, i int) (out []keyed, end int) {
	out = make([]keyed, 0, 1+len(b)/usualRecord)
	var topic quote.Topic
	for first := true; ; first = false {
		if i < len(b) && b[i] == ']' && (first || b[i-1] == '}') {
			return out, i + 1
		}
		if !first {
			if i >= len(b) || b[i] != ',' {
				return nil, -1
			}
			i++
		}
		var r keyed
		if i, topic = scanRecord(b, i, topic, &r); i < 0 {
			return nil, -1
		}
		out = append(out, r)
	}
}

// scanRecord reads the record at i; topic is the one before's, which is nearly always the same.
func scanRecord(b []byte, i int, topic quote.Topic, r *keyed) (int, quote.Topic) {
	var name []byte
	if name, i = between(b, i, `{"topic":"`, '"'); i < 0 {
		return -1, ""
	}
	if string(name) != string(topic) {
		topic = quote.Topic(name)
	}
	r.Topic = topic
	var ok bool
	if r.Epoch, i, ok = number(b, i, `,"epoch":`); !ok {
		return -1, ""
	}
	if r.Seq, i, ok = number(b, i, `,"seq":`); !ok {
		return -1, ""
	}
	const payload = `,"payload":`
	if !bytes.HasPrefix(b[i:], []byte(payload)) {
		return -1, ""
	}
	i += len(payload)
	end := flat(b, i)
	if end > 0 {
		r.at = flatStamp(b[i:end])
	} else if end = value(b, i); end > 0 {
		r.at = stamp(b[i:end])
	}
	if end <= i || end >= len(b) || b[end] != '}' {
		return -1, ""
	}
	r.Payload = b[i:end:end]
	return end + 1, topic
}

// between returns what stands between an opening at i and a byte, which must have no escapes, and where that ends.
func between(b []byte, i int, opening string, closing byte) ([]byte, int) {
	if !bytes.HasPrefix(b[i:], []byte(opening)) {
		return nil, -1
	}
	i += len(opening)
	n := bytes.IndexByte(b[i:], closing)
	if n < 0 || bytes.IndexByte(b[i:i+n], '\\') >= 0 {
		return nil, -1
	}
	return b[i : i+n], i + n + 1
}

func number(b []byte, i int, opening string) (n uint64, end int, ok bool) {
	if !bytes.HasPrefix(b[i:], []byte(opening)) {
		return 0, i, false
	}
	i += len(opening)
	from := i
	for ; i < len(b) && b[i] >= '0' && b[i] <= '9'; i++ {
		n = n*10 + uint64(b[i]-'0')
	}
	return n, i, i > from && i-from < 19
}

// flat returns where the object at i ends, if it holds no other one and no escapes; else 0.
func flat(b []byte, i int) int {
	if i >= len(b) || b[i] != '{' {
		return 0
	}
	n := bytes.IndexByte(b[i:], '}') + 1
	inside := b[i+1 : i+max(n, 1)]
	if n == 0 || bytes.IndexByte(inside, '{') >= 0 || bytes.IndexByte(inside, '\\') >= 0 || bytes.Count(inside, []byte{'"'})%2 != 0 {
		return 0
	}
	return i + n
}

// flatStamp is stamp for what flat has found.
func flatStamp(payload []byte) (at quote.Time) {
	const begin, end = `"time`, `stamp":"` // quotation marks are too common to look for
	i := bytes.Index(payload, []byte(end))
	if i < len(begin) || string(payload[i-len(begin):i]) != begin {
		return stamp(payload)
	}
	i += len(end)
	if n := bytes.IndexByte(payload[i:], '"'); n > 0 {
		at, _ = quote.ParseTime(string(payload[i : i+n]))
	}
	return at
}

// fields calls each with every member of a JSON object, until that returns false. It reports whether all were visited.
// Names with escapes are given as they stand. What is no object, or is cut off, is not visited further.
func fields(b []byte, each func(name, value []byte) bool) bool {
	i := space(b, 0)
	if i >= len(b) || b[i] != '{' {
		return false
	}
	if i = space(b, i+1); i < len(b) && b[i] == '}' {
		return true
	}
	if i = member(b, i, each); i < 0 {
		return false
	}
	return members(b, i, each)
}

// members is fields from behind a member on.
func members(b []byte, i int, each func(name, value []byte) bool) bool {
	for i >= 0 {
		i = space(b, i)
		switch {
		case i >= len(b):
			return false
		case b[i] == '}':
			return true
		case b[i] != ',':
			return false
		}
		i = member(b, space(b, i+1), each)
	}
	return false
}

// member visits the member at i and returns where it ends, or -1.
func member(b []byte, i int, each func(name, value []byte) bool) int {
	name := i
	if i = value(b, i); i < 0 || i == name || b[name] != '"' {
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
	if len(v) < 2 || v[0] != '"' || bytes.IndexByte(v, '\\') >= 0 {
		return "", false
	}
	return string(v[1 : len(v)-1]), true
}
