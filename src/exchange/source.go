package exchange

import (
	"context"
	"errors"
	"time"

	"quotes/src/quote"
)

// Beat is how often a stream says that it lives, when nothing else is said.
const Beat = 100 * time.Millisecond

// ErrSlow says that a session's reader did not keep up.
var ErrSlow = errors.New("reader too slow")

// ErrEnded says that a replay is over.
var ErrEnded = errors.New("replay has ended")

// Source is a market, as its clients see it.
type Source interface {
	// Quotes returns the current quotes of the symbols, of all for "*", of the first for none. An unknown symbol is an
	// error that wraps quote.ErrBadSymbol.
	Quotes(ctx context.Context, symbols []string) ([]quote.Quote, error)
	// Stream hands over the snapshot and then what happens, in bursts, until ctx ends or emit fails. The first call of
	// emit is the snapshot; it may be empty. A later burst without events is a heartbeat: one comes each [Beat]. emit may
	// block. Errors: emit's, ErrSlow, ErrEnded, ctx's.
	Stream(ctx context.Context, emit func([]Event) error) error
}

// Record is what a generator says: a quote, a trade, or the refusal of one.
type Record struct {
	Quote *quote.Quote
	Trade *quote.Trade
	// Refused says why a tick is neither: it is counted and named, and goes no further.
	Refused error
	// Unsure names, beside Refused, a symbol whose last quote is no longer to be trusted: no session begins with it.
	Unsure quote.Symbol
	// Snapshot marks the first record of a topic after a break, such as a replay's new pass.
	Snapshot bool
	// Untimed says that the timestamp is not the venue's.
	Untimed bool
}

// Event is a record as it goes out: encoded once for all sessions.
type Event struct {
	Topic    quote.Topic
	Payload  []byte
	Snapshot bool
	Untimed  bool
	// Garbage stands for all else: bytes that are no frame.
	Garbage []byte
}

// Generator makes a market's records. Run calls put with bursts until ctx ends; it returns nil when there is nothing more
// to come. It waits for listened before its clock starts, where that matters; what it puts before is what requests and
// the first session find. What put gets must not change any more.
type Generator interface {
	Run(ctx context.Context, listened <-chan struct{}, put func([]Record)) error
}
