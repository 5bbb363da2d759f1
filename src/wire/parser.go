package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// parser reads the lines of one connection. What stands in line after line, types and topics, is kept and not made anew: with that, and
// payloads that are not copied, a frame costs a reader no memory. Its zero value is ready, for one goroutine.
type parser struct {
	borrow bool // payloads are part of the line

	epoch     uint64 // the last one, and
	epochText []byte // how it stood in the line, with what follows

	topic   string            // the last one
	topics  map[string]string // earlier ones
	numbers []uint64          // for Frame.Prev
}

// Bounds of what a parser keeps.
const (
	keptTopics  = 1024
	keptNumbers = 64
)

// ParseFrame reads one line. It returns an error that wraps [ErrNotObject] if the line is no JSON object, and an [*Error]
// with code bad_request, beside what could be read, if a field has a wrong type or the type is missing.
// The frame holds no reference to line. A payload of null counts as none.
func ParseFrame(line []byte) (Frame, error) {
	var p parser
	return p.parse(line)
}

// parse is ParseFrame, but for borrowed payloads.
func (p *parser) parse(line []byte) (Frame, error) {
	var f Frame
	trimmed := trim(line)
	switch {
	case len(trimmed) == 0 || trimmed[0] != '{':
		return f, fmt.Errorf("%w: it begins with %.16q", ErrNotObject, trimmed)
	case !utf8.Valid(trimmed):
		return f, fmt.Errorf("%w: it is not UTF-8", ErrNotObject)
	}
	if p.logged(trimmed, &f) {
		return f, nil
	}
	f = Frame{}
	if p.quick(trimmed, &f) {
		return f, nil
	}
	return parseSlowly(trimmed)
}

// parseSlowly is parse by encoding/json.
func parseSlowly(line []byte) (Frame, error) {
	var f Frame
	if err := json.Unmarshal(line, &f); err != nil {
		var field *json.UnmarshalTypeError
		if !errors.As(err, &field) {
			return f, fmt.Errorf("%w: %w", ErrNotObject, err)
		}
		return f, Errorf(BadRequest, "field %q is a JSON %s, want %s", field.Field, clip(field.Value, 40), field.Type)
	}
	if string(f.Payload) == "null" {
		f.Payload = nil
	}
	switch {
	case f.Type == "":
		return f, Errorf(BadRequest, `field "type" is missing`)
	case f.BudgetMS < 0:
		return f, Errorf(BadRequest, "budget_ms is %d, want 0 or more", f.BudgetMS)
	}
	return f, nil
}

// logged reads a PUBLISH of a known topic as core writes it and brokers log it, which is what nearly every line is.
func (p *parser) logged(line []byte, f *Frame) bool {
	const head = `{"type":"PUBLISH","topic":"`
	if !bytes.HasPrefix(line, []byte(head)) {
		return false
	}
	c := cursor{b: line, i: len(head)}
	n := bytes.IndexByte(line[c.i:], '"')
	if n < 0 {
		return false
	}
	topic, known := p.topic, string(line[c.i:c.i+n]) == p.topic
	if !known {
		if topic, known = p.topics[string(line[c.i:c.i+n])]; !known {
			return false
		}
		p.topic = topic
	}
	c.i += n
	var prev uint64
	var ok bool
	if !c.word(`","epoch":`) {
		return false
	}
	if n := len(p.epochText); n > 0 && len(line)-c.i > n && string(line[c.i:c.i+n]) == string(p.epochText) {
		f.Epoch, c.i = p.epoch, c.i+n // a core's whole life long
	} else {
		from := c.i
		if f.Epoch, ok = c.number(); !ok || !c.word(`,"seq":`) {
			return false
		}
		p.epoch, p.epochText = f.Epoch, append(p.epochText[:0], line[from:c.i]...)
	}
	if f.Seq, ok = c.number(); !ok || !c.word(`,"prev":`) {
		return false
	}
	if prev, ok = c.number(); !ok || !c.word(`,"payload":`) {
		return false
	}
	from := c.i
	if !c.value(0) || line[from] == 'n' || c.i != len(line)-1 || line[c.i] != '}' {
		return false
	}
	f.Type, f.Topic, f.Prev, f.Payload = TypePublish, topic, p.number(prev), p.payload(line[from:c.i])
	if p.borrow {
		f.logged = line
	}
	return true
}

// payload returns what a frame may keep of a payload in the line.
func (p *parser) payload(raw []byte) []byte {
	if p.borrow {
		return slices.Clip(raw)
	}
	return bytes.Clone(raw)
}

// typeOf returns a type that is read all day as the constant that it is, any other as a new string.
func typeOf(name []byte) string {
	switch string(name) {
	case TypePublish:
		return TypePublish
	case TypeHeartbeat:
		return TypeHeartbeat
	}
	return string(name)
}

// topicOf returns the topic as a string, the same one as before where it is kept.
func (p *parser) topicOf(name []byte) string {
	if string(name) == p.topic {
		return p.topic
	}
	topic, kept := p.topics[string(name)]
	if !kept {
		topic = string(name)
		if p.topic != "" && len(p.topics) < keptTopics { // a connection with one topic needs no map
			if p.topics == nil {
				p.topics = map[string]string{p.topic: p.topic}
			}
			p.topics[topic] = topic
		}
	}
	p.topic = topic
	return topic
}

// number returns a place for a number; they are made by the dozen.
func (p *parser) number(n uint64) *uint64 {
	if len(p.numbers) == cap(p.numbers) {
		p.numbers = make([]uint64, 0, max(1, min(2*cap(p.numbers), keptNumbers)))
	}
	p.numbers = append(p.numbers, n)
	return &p.numbers[len(p.numbers)-1]
}
