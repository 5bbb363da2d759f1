package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"quotes/src/quote"
)

// DefaultMaxLine is the longest line, in bytes, its newline included.
const DefaultMaxLine = 1 << 20

// The types of frames.
const (
	TypeHello       = "HELLO"
	TypeWelcome     = "WELCOME"
	TypePublish     = "PUBLISH"
	TypeSubscribe   = "SUBSCRIBE"
	TypeSubscribed  = "SUBSCRIBED"
	TypeUnsubscribe = "UNSUBSCRIBE"
	TypeHeartbeat   = "HEARTBEAT"
	TypeLost        = "LOST"
	TypeGoaway      = "GOAWAY"
	TypeReqQuote    = "REQ_QUOTE"
	TypeRespQuote   = "RESP_QUOTE"
	TypeAppend      = "APPEND"
	TypeAppended    = "APPENDED"
	TypeReqHist     = "REQ_HIST"
	TypeRespHist    = "RESP_HIST"
	TypeReqReport   = "REQ_REPORT"
	TypeRespReport  = "RESP_REPORT"
	TypeReqStatus   = "REQ_STATUS"
	TypeRespStatus  = "RESP_STATUS"
	TypeError       = "ERROR"
)

// ErrNotObject says that a line is no JSON object; the connection it came from can't be trusted any more.
var ErrNotObject = errors.New("line is no JSON object")

// Frame is one line of the protocol: the envelope, and the payload as it came.
//
// ID is the caller's number; 0 is none. Epoch and Seq are a record's position. Prev is nil where there was no frame before.
// Why says why Skipped frames were passed over: lag, latest or sampled. HeldMS is how long ago the broker got a snapshot
// or replayed frame. Untimed, between external and core, says that the payload's timestamp is not the venue's and does not
// count for lateness. More says that another reply with the same ID follows.
type Frame struct {
	Type      string          `json:"type"`
	ID        uint64          `json:"id"`
	Topic     string          `json:"topic"`
	BudgetMS  int64           `json:"budget_ms"`
	Epoch     uint64          `json:"epoch"`
	Seq       uint64          `json:"seq"`
	Prev      *uint64         `json:"prev"`
	PrevEpoch uint64          `json:"prev_epoch"`
	Skipped   uint64          `json:"skipped"`
	Why       string          `json:"why"`
	Snapshot  bool            `json:"snapshot"`
	Source    string          `json:"source"`
	HeldMS    *int64          `json:"held_ms"`
	FeedSeq   uint64          `json:"feed_seq"`
	Untimed   bool            `json:"untimed"`
	More      bool            `json:"more"`
	Payload   json.RawMessage `json:"payload"`

	logged []byte // the line, where it is just what Append writes and payloads are borrowed
}

// Line returns the line that a borrowed PUBLISH was read from, without its newline, where there is nothing in it but topic, position,
// prev and payload, just as Append writes them; else nil. It is valid as long as the payload.
func (f *Frame) Line() []byte { return f.logged }

// Point returns the frame's position within its topic.
func (f *Frame) Point() quote.Point { return quote.Point{Epoch: f.Epoch, Seq: f.Seq} }

// trim cuts off what JSON calls white space.
func trim(line []byte) []byte {
	if n := len(line); n > 0 && line[0] == '{' && line[n-1] == '}' {
		return line // nearly always; to look for white space takes a tenth of a frame's time
	}
	return bytes.Trim(line, " \t\r\n")
}

// Decode reads the payload into v. A missing or malformed payload is an [*Error] with code bad_request. Symbols, topics
// and limits are whatever was sent: to check them is the caller's. The payloads of an APPEND's records may stay part of the
// frame's.
func (f *Frame) Decode(v any) error {
	if len(f.Payload) == 0 {
		return Errorf(BadRequest, "%s needs a payload", f.Type)
	}
	if q, is := v.(quicker); is && q.quick(f.Payload) {
		return nil
	}
	if err := json.Unmarshal(f.Payload, v); err != nil {
		return Errorf(BadRequest, "payload of %s: %s", f.Type, clip(plain(err), 200))
	}
	return nil
}

// plain says what is wrong with JSON without naming types of ours.
func plain(err error) string {
	t, ok := errors.AsType[*json.UnmarshalTypeError](err)
	switch {
	case !ok:
		return err.Error()
	case t.Field == "":
		return "a JSON " + t.Value + " does not belong there"
	}
	return t.Field + ": a JSON " + t.Value + " does not belong there"
}

// clip keeps what an error repeats of foreign input short.
func clip(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

// Append adds the frame as one line, newline included, to b. The payload must be valid JSON without newlines.
func (f *Frame) Append(b []byte) []byte {
	b = f.AppendHead(b)
	if len(f.Payload) > 0 {
		b = append(append(b, `,"payload":`...), f.Payload...)
	}
	return append(b, '}', '\n')
}

// AppendHead adds the envelope without its payload and closing brace: a new head can go before a stored payload.
func (f *Frame) AppendHead(b []byte) []byte {
	b = appendString(append(b, `{"type":`...), f.Type)
	b = appendUint(b, "id", f.ID)
	if f.Topic != "" {
		b = appendString(append(b, `,"topic":`...), f.Topic)
	}
	b = appendUint(b, "budget_ms", uint64(max(f.BudgetMS, 0)))
	b = appendUint(b, "epoch", f.Epoch)
	b = appendUint(b, "seq", f.Seq)
	if f.Prev != nil {
		b = strconv.AppendUint(append(b, `,"prev":`...), *f.Prev, 10)
	}
	b = appendUint(b, "prev_epoch", f.PrevEpoch)
	b = appendUint(b, "skipped", f.Skipped)
	if f.Why != "" {
		b = appendString(append(b, `,"why":`...), f.Why)
	}
	if f.Snapshot {
		b = append(b, `,"snapshot":true`...)
	}
	if f.Source != "" {
		b = appendString(append(b, `,"source":`...), f.Source)
	}
	if f.HeldMS != nil {
		b = strconv.AppendInt(append(b, `,"held_ms":`...), *f.HeldMS, 10)
	}
	b = appendUint(b, "feed_seq", f.FeedSeq)
	if f.Untimed {
		b = append(b, `,"untimed":true`...)
	}
	if f.More {
		b = append(b, `,"more":true`...)
	}
	return b
}

// MarshalJSON writes the frame without its newline; frames stand inside HELLO.
func (f Frame) MarshalJSON() ([]byte, error) {
	line := f.Append(nil)
	return line[:len(line)-1], nil
}

// appendUint adds a field, unless it is 0.
func appendUint(b []byte, name string, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = append(append(append(b, `,"`...), name...), `":`...)
	return strconv.AppendUint(b, v, 10)
}

// appendString adds s as a JSON string; what needs escaping is left to encoding/json.
func appendString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			escaped, _ := json.Marshal(s) // never fails on a string
			return append(b, escaped...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}

// Make returns a frame of a type with v as its payload; nil is none. v must be one of this package's payloads or
// otherwise encodable: an encoding error is a defect and is returned as a frame of type ERROR with code internal.
func Make(typ string, v any) Frame {
	if v == nil {
		return Frame{Type: typ}
	}
	if a, is := v.(appender); is {
		if text := a.append(nil); len(text) > 0 {
			return Frame{Type: typ, Payload: text}
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false) // what stands inside goes out byte by byte
	if err := enc.Encode(v); err != nil {
		return ErrorFrame(fmt.Errorf("encode %s: %w", typ, err))
	}
	return Frame{Type: typ, Payload: bytes.TrimSuffix(out.Bytes(), []byte("\n"))}
}
