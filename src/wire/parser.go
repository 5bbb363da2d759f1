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
	head      []byte // how a line began that had the topic and epoch of the line before it, up to its seq

	topic   string            // the last one
	topics  map[string]string // earlier ones
	numbers []uint64          // for Frame.Prev
}

// Bounds of what a parser keeps.
const (
	keptTopics  = 1024
	keptName    = 64 // bytes of a topic; real ones have at most 39
	keptNumbers = 64
)

// ParseFrame reads one line. It returns an error that wraps [ErrNotObject] if the line is no JSON object, and an [*Error]
// with code bad_request, beside what could be read, if a field has a wrong type or the type is missing.
// The frame holds no reference to line. A payload of null counts as none.
func ParseFrame(line []byte) (Frame, error) {
	var p parser
	var f Frame
	err := p.parse(line, &f)
	return f, err
}

// parse is ParseFrame, but for borrowed payloads, into an empty frame: to copy one costs as much as to read its envelope.
func (p *parser) parse(line []byte, f *Frame) (err error) {
	trimmed := trim(line)
	switch {
	case len(trimmed) == 0 || trimmed[0] != '{':
		return fmt.Errorf("%w: it begins with %.16q", ErrNotObject, trimmed)
	case !utf8.Valid(trimmed):
		return fmt.Errorf("%w: it is not UTF-8", ErrNotObject)
	}
	if p.logged(trimmed, f) {
		return nil
	}
	*f = Frame{}
	if p.quick(trimmed, f) {
		return nil
	}
	*f, err = parseSlowly(trimmed)
	return err
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
func (p *parser) logged(line []byte, f *Frame) (ok bool) {
	c := cursor{b: line}
	if n := len(p.head); n > 0 && len(line) > n && string(line[:n]) == string(p.head) {
		f.Topic, f.Epoch, c.i = p.topic, p.epoch, n // one topic, line after line
	} else if !p.readHead(&c, f) {
		return false
	}
	var prev uint64
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
	f.Type, f.Prev, f.Payload = TypePublish, p.number(prev), p.payload(line[from:c.i])
	if p.borrow {
		f.logged = line
	}
	return true
}

// readHead reads the head of such a line, up to its seq.
func (p *parser) readHead(c *cursor, f *Frame) (ok bool) {
	if !c.word(`{"type":"PUBLISH","topic":"`) {
		return false
	}
	n := bytes.IndexByte(c.b[c.i:], '"')
	if n < 0 {
		return false
	}
	name := c.b[c.i : c.i+n]
	same := string(name) == p.topic
	if !same {
		topic, known := p.topics[string(name)]
		if !known {
			return false
		}
		p.topic = topic
	}
	p.head = p.head[:0]
	f.Topic = p.topic
	c.i += n
	if !c.word(`","epoch":`) {
		return false
	}
	if n := len(p.epochText); n > 0 && len(c.b)-c.i > n && string(c.b[c.i:c.i+n]) == string(p.epochText) {
		f.Epoch, c.i = p.epoch, c.i+n // a core's whole life long
		if same {
			p.head = append(p.head, c.b[:c.i]...)
		}
		return true
	}
	from := c.i
	if f.Epoch, ok = c.number(); !ok || !c.word(`,"seq":`) {
		return false
	}
	p.epoch, p.epochText = f.Epoch, append(p.epochText[:0], c.b[from:c.i]...)
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
	if len(name) > keptName {
		return string(name)
	}
	p.head = p.head[:0]
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
