package wire

import (
	"encoding/json"

	"quotes/src/quote"
)

// Hello is HELLO's payload: core announces itself to the broker and each shard. Without Epoch it only asks.
// Many topics come in several frames, all but the last with More; the answer follows the last.
type Hello struct {
	Role     string       `json:"role"` // "publisher"
	Epoch    uint64       `json:"epoch,omitempty"`
	Instance string       `json:"instance,omitempty"`
	Topics   []HelloTopic `json:"topics,omitempty"`
	More     bool         `json:"more"`
}

// HelloTopic is a topic's next seq in the publisher's epoch, and its newest frame, a PUBLISH. Tail is the last position of
// the epochs before, as far as the publisher found out at its start: where an older publisher got to.
type HelloTopic struct {
	Topic quote.Topic  `json:"topic"`
	Next  uint64       `json:"next"`
	Last  *Frame       `json:"last,omitempty"`
	Tail  *quote.Point `json:"tail,omitempty"`
}

// Welcome is WELCOME's payload. A shard that was only asked lists the newest record of each topic it holds.
type Welcome struct {
	HighestEpoch uint64         `json:"highest_epoch"`
	Topics       []WelcomeTopic `json:"topics,omitempty"`
	More         bool           `json:"more"`
}

// WelcomeTopic is a topic's newest record.
type WelcomeTopic struct {
	Topic quote.Topic `json:"topic"`
	Last  Record      `json:"last"`
}

// Record is one stored frame. Topic and Epoch are left out where what surrounds it says them.
type Record struct {
	Topic   quote.Topic     `json:"topic,omitempty"`
	Epoch   uint64          `json:"epoch,omitempty"`
	Seq     uint64          `json:"seq"`
	Payload json.RawMessage `json:"payload"`
}

// Point returns the record's position within its topic.
func (r *Record) Point() quote.Point { return quote.Point{Epoch: r.Epoch, Seq: r.Seq} }

// Mode says what a subscriber gets of quotes; trades and status always go as in all.
type Mode string

// The modes of a subscription.
const (
	ModeAll     Mode = "all"     // every frame
	ModeLatest  Mode = "latest"  // the newest of each topic when the socket can take it
	ModeSampled Mode = "sampled" // the newest of each topic, at most once an interval
)

// Subscribe is SUBSCRIBE's payload. IntervalMS is for sampled, 1 to 60,000, 250 where 0. Snapshot is true where nil.
// From wins over Snapshot for the topics it names.
type Subscribe struct {
	Mode       Mode                        `json:"mode,omitempty"`
	IntervalMS int64                       `json:"interval_ms,omitempty"`
	From       map[quote.Topic]quote.Point `json:"from,omitempty"`
	Snapshot   *bool                       `json:"snapshot,omitempty"`
}

// Subscribed is SUBSCRIBED's payload.
type Subscribed struct {
	Topic string `json:"topic"`
	Mode  Mode   `json:"mode"`
}

// What a heartbeat or a snapshot says of core.
const (
	SourceLive       = "live"
	SourceLost       = "lost"
	SourceRecovering = "recovering"
)

// Heartbeat is HEARTBEAT's payload: the topics that moved since the last one, and whether core is there.
type Heartbeat struct {
	Topics  map[quote.Topic]HeartbeatTopic `json:"topics,omitempty"`
	Source  string                         `json:"source,omitempty"`
	SinceMS int64                          `json:"since_ms,omitempty"`
}

// HeartbeatTopic is the seq that comes next, the frames this subscription has still to get, and those it was spared.
type HeartbeatTopic struct {
	Epoch   uint64 `json:"epoch"`
	Next    uint64 `json:"next"`
	Lag     uint64 `json:"lag"`
	Skipped uint64 `json:"skipped"`
}

// Lost is LOST's payload: what lies between After and Before, both exclusive, is not in the log any more.
// Count is nil where nobody knows it.
type Lost struct {
	Topic  quote.Topic `json:"topic"`
	After  quote.Point `json:"after"`
	Before quote.Point `json:"before"`
	Count  *uint64     `json:"count,omitempty"`
}

// Goaway is GOAWAY's payload.
type Goaway struct {
	RetryAfterMS int64 `json:"retry_after_ms"`
}

// ReqQuote is REQ_QUOTE's payload; ["*"] is all. Without it the frame's topic names one symbol.
type ReqQuote struct {
	Symbols []string `json:"symbols,omitempty"`
}

// Append is APPEND's payload. The records' epoch is Epoch. Lost names what core has given up.
type Append struct {
	TableEpoch uint64      `json:"table_epoch"`
	Epoch      uint64      `json:"epoch"`
	Records    []Record    `json:"records,omitempty"`
	Lost       []LostRange `json:"lost,omitempty"`
}

// LostRange is a run of seqs that were never stored, both ends inclusive, in the epoch that surrounds it.
type LostRange struct {
	Topic quote.Topic `json:"topic"`
	Epoch uint64      `json:"epoch,omitempty"`
	First uint64      `json:"first"`
	Last  uint64      `json:"last"`
}

// Appended is APPENDED's payload: up to where each topic of the request is on disk.
type Appended struct {
	Positions map[quote.Topic]quote.Point `json:"positions"`
}

// The orders of history.
const (
	Asc  = "asc"
	Desc = "desc"
)

// ReqHist is REQ_HIST's payload. From is inclusive, To exclusive, After and Before exclusive. Without Symbols a shard
// answers for all it holds. Limit nil is the server's default; 0 asks for ranges only. Order is asc where empty.
type ReqHist struct {
	Symbols []quote.Symbol              `json:"symbols,omitempty"`
	Kinds   []quote.Kind                `json:"kinds,omitempty"`
	From    quote.Time                  `json:"from,omitzero"`
	To      quote.Time                  `json:"to,omitzero"`
	After   map[quote.Topic]quote.Point `json:"after,omitzero"` // empty is not nil: it asks for the order of positions
	Before  map[quote.Topic]quote.Point `json:"before,omitzero"`
	Order   string                      `json:"order,omitempty"`
	Limit   *int                        `json:"limit,omitempty"`
}

// RespHist is RESP_HIST's payload. More says that there are further records in the direction of Order. Shards say InSync
// by slot, which seqs will never be held since core named them as lost, and the first positions that retention has left; the
// aggregator says Coverage and Missing in their place.
type RespHist struct {
	Records  []Record                      `json:"records"`
	More     bool                          `json:"more"`
	Ranges   map[quote.Topic][]quote.Range `json:"ranges,omitempty"`
	InSync   map[int]bool                  `json:"in_sync,omitempty"`
	Lost     []LostRange                   `json:"lost,omitempty"`
	Floors   []quote.Position              `json:"floors,omitempty"`
	Coverage *float64                      `json:"coverage,omitempty"`
	Missing  []Missing                     `json:"missing,omitempty"`
}

// Missing is a slot whose history is not complete, with the symbols that were asked for.
type Missing struct {
	Slot    int            `json:"slot"`
	Symbols []quote.Symbol `json:"symbols,omitempty"`
}

// ReqReport is REQ_REPORT's payload: one symbol, or several. Limit is 1 to 2,000 records over all symbols, 100 where nil.
// MinCoverage is 0 to 1; MaxAgeMS nil is none.
type ReqReport struct {
	Symbol      quote.Symbol   `json:"symbol,omitempty"`
	Symbols     []quote.Symbol `json:"symbols,omitempty"`
	From        quote.Time     `json:"from,omitzero"`
	To          quote.Time     `json:"to,omitzero"`
	Limit       *int           `json:"limit,omitempty"`
	MinCoverage float64        `json:"min_coverage,omitempty"`
	MaxAgeMS    *int64         `json:"max_age_ms,omitempty"`
}

// Report is RESP_REPORT's payload: what is known of one symbol, and how complete that is.
// Total = OK + Stale + Failed + Skipped. History is newest first.
type Report struct {
	CurrentPrice *quote.Quote  `json:"current_price,omitempty"`
	History      []quote.Trade `json:"history"`
	Errors       []string      `json:"errors,omitempty"`
	Coverage     float64       `json:"coverage"`
	Missing      []Missing     `json:"missing,omitempty"`
	Sources      []Source      `json:"sources"`
	Total        int           `json:"total"`
	OK           int           `json:"ok"`
	Stale        int           `json:"stale"`
	Failed       int           `json:"failed"`
	Skipped      int           `json:"skipped"`
	More         bool          `json:"more"`
	TookMS       float64       `json:"took_ms"`
}

// The states of a source.
const (
	SourceOK      = "ok"
	SourceStale   = "stale"   // it answered, but is not in sync or its price is not live
	SourceFailed  = "failed"  // it did not answer
	SourceSkipped = "skipped" // it was not asked, as its breaker is open, or was outrun by its twin
)

// Source is one process that a report asked, or would have asked.
type Source struct {
	Name   string  `json:"name"`
	State  string  `json:"state"`
	Reason string  `json:"reason,omitempty"`
	MS     float64 `json:"ms"`
	Hedged bool    `json:"hedged"`
}
