package history

import (
	"time"

	"quotes/src/quote"
	"quotes/src/wire"
)

// Kind says what an event is.
type Kind string

// The kinds of events.
const (
	Report    Kind = "report"    // a report was asked for: its answer, or why there is none
	Frame     Kind = "frame"     // the subscriber got a PUBLISH
	Lost      Kind = "lost"      // the subscriber was told that records are lost
	Heartbeat Kind = "heartbeat" // the subscriber got a HEARTBEAT
	Up        Kind = "up"        // the subscriber is connected and its SUBSCRIBE answered
	Down      Kind = "down"      // the subscriber's connection ended, or none could be had
	Fault     Kind = "fault"     // the subscriber got what breaks the protocol
	Mark      Kind = "mark"      // the suite did something
)

// Class is why a report failed; empty where it did not. Beside these it may be a code of docs/protocol.md.
type Class string

// The classes of failures.
const (
	Dial       Class = "dial"        // no connection
	Cut        Class = "cut"         // the connection ended before the answer
	Timeout    Class = "timeout"     // no answer in time
	BadAnswer  Class = "bad_answer"  // an answer that can't be understood
	Overloaded Class = "overloaded"  // not sent: too many were under way; the prober's own fault, and a failure all the same
	NotReached Class = "not_reached" // not sent: the kept connection was away
)

// Event is one thing that happened. Fields that do not concern its kind are empty.
type Event struct {
	Kind Kind      `json:"kind"`
	At   time.Time `json:"at"` // a report's: when it was to be sent; else when it was seen

	// Of a report.
	Path      string         `json:"path,omitempty"` // tcp-new, tcp-kept, http-new or http-kept
	Symbol    quote.Symbol   `json:"symbol,omitempty"`
	LatencyMS float64        `json:"latency_ms,omitempty"` // from At to the answer or the failure
	Class     Class          `json:"class,omitempty"`
	Coverage  float64        `json:"coverage"`
	Missing   []wire.Missing `json:"missing,omitempty"`
	Trades    int            `json:"trades,omitempty"` // how many the answer holds

	// Of a report, where it has a price, and of a frame of quotes.
	State  quote.State  `json:"state,omitempty"`
	Reason quote.Reason `json:"reason,omitempty"`
	AgeMS  *int64       `json:"age_ms,omitempty"`

	// Of a frame. Prev is nil where the frame had none.
	Topic     quote.Topic `json:"topic,omitempty"`
	Epoch     uint64      `json:"epoch,omitempty"`
	Seq       uint64      `json:"seq,omitempty"`
	Prev      *uint64     `json:"prev,omitempty"`
	PrevEpoch uint64      `json:"prev_epoch,omitempty"`
	Skipped   uint64      `json:"skipped,omitempty"`
	Snapshot  bool        `json:"snapshot,omitempty"`

	// Of a frame that is a snapshot and of a heartbeat: whether core is there.
	Source string `json:"source,omitempty"`

	Gap *wire.Lost `json:"gap,omitempty"` // of a lost

	Text string `json:"text,omitempty"` // a mark's name, and in words why a report failed or a connection ended
}

// Point returns the position of a frame within its topic.
func (e *Event) Point() quote.Point { return quote.Point{Epoch: e.Epoch, Seq: e.Seq} }

// Window is a span of time: From inclusive, To exclusive. A zero To is without end.
type Window struct{ From, To time.Time }

// Has reports whether the window holds a moment.
func (w Window) Has(at time.Time) bool {
	return !at.Before(w.From) && (w.To.IsZero() || at.Before(w.To))
}
