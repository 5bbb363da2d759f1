package quote

import (
	"errors"
	"fmt"
)

// ErrBadRecord says that a quote or a trade lacks a field or has a wrong one.
var ErrBadRecord = errors.New("bad record")

// State is how far a price can be trusted.
type State string

// The states of a quote.
const (
	Live       State = "live"       // the exchange session is up and this symbol was refreshed in it
	Stale      State = "stale"      // the session is down or silent; the reason says why
	Recovering State = "recovering" // the session is up again, this symbol's snapshot is not yet in
)

// Reason says why a quote is not live.
type Reason string

// The reasons of [Stale].
const (
	BreakerOpen Reason = "breaker_open" // the breaker before the exchange is not closed
	FeedSilent  Reason = "feed_silent"  // the exchange session is cut or says nothing
	Starting    Reason = "starting"     // core has just started and has no session yet
	CoreLost    Reason = "core_lost"    // core itself does not answer; said by others than core
)

// Quality says whether a price can be trusted and, if not, why. AgeMS is the milliseconds since the price was received,
// computed by whoever answers; it is never stored.
type Quality struct {
	State  State  `json:"state"`
	Reason Reason `json:"reason,omitempty"`
	AgeMS  *int64 `json:"age_ms,omitempty"`
}

// IsZero reports whether there is no quality: what comes from an exchange has none.
func (q Quality) IsZero() bool { return q == Quality{} }

// Quote is the top of one symbol's book and its last price. Absent fields are left out.
// Epoch and Seq are set only where a quote stands alone in a reply: in a PUBLISH the envelope carries them.
type Quote struct {
	Symbol    Symbol  `json:"symbol"`
	Price     Decimal `json:"price,omitzero"` // the last trade's, else the mid
	Bid       Decimal `json:"bid,omitzero"`
	Ask       Decimal `json:"ask,omitzero"`
	BidSize   Decimal `json:"bid_size,omitzero"`
	AskSize   Decimal `json:"ask_size,omitzero"`
	Timestamp Time    `json:"timestamp,omitzero"` // the venue's
	Received  Time    `json:"received,omitzero"`  // core's
	Quality   Quality `json:"quality,omitzero"`
	Epoch     uint64  `json:"epoch,omitempty"`
	Seq       uint64  `json:"seq,omitempty"`
}

// Validate says what is missing or wrong; errors wrap [ErrBadRecord] or [ErrBadSymbol].
func (q *Quote) Validate() error {
	if _, err := ParseSymbol(string(q.Symbol)); err != nil {
		return err
	}
	switch {
	case q.Price.IsZero():
		return fmt.Errorf("%w: quote of %s without price", ErrBadRecord, q.Symbol)
	case q.Timestamp.IsZero():
		return fmt.Errorf("%w: quote of %s without timestamp", ErrBadRecord, q.Symbol)
	case q.BidSize.Sign() < 0 || q.AskSize.Sign() < 0:
		return fmt.Errorf("%w: quote of %s with a negative size", ErrBadRecord, q.Symbol)
	}
	return nil
}

// Side is the taker's side of a trade.
type Side string

// The sides of a trade.
const (
	Buy  Side = "buy"
	Sell Side = "sell"
)

// MaxTradeID is the longest trade id, in bytes.
const MaxTradeID = 64

// Trade is one transaction. ID is the venue's, unique per symbol and source.
type Trade struct {
	ID        string  `json:"id"`
	Symbol    Symbol  `json:"symbol"`
	Price     Decimal `json:"price"`
	Quantity  Decimal `json:"quantity"`
	Side      Side    `json:"side,omitempty"` // the taker's
	Timestamp Time    `json:"timestamp,omitzero"`
	Received  Time    `json:"received,omitzero"`
}

// Validate says what is missing or wrong; errors wrap [ErrBadRecord] or [ErrBadSymbol].
func (t *Trade) Validate() error {
	if _, err := ParseSymbol(string(t.Symbol)); err != nil {
		return err
	}
	switch {
	case t.ID == "" || len(t.ID) > MaxTradeID:
		return fmt.Errorf("%w: trade of %s: id of %d bytes, want 1 to %d", ErrBadRecord, t.Symbol, len(t.ID), MaxTradeID)
	case t.Price.IsZero() || t.Quantity.IsZero():
		return fmt.Errorf("%w: trade %s of %s without price or quantity", ErrBadRecord, clip(t.ID), t.Symbol)
	case t.Quantity.Sign() < 0:
		return fmt.Errorf("%w: trade %s of %s with a negative quantity", ErrBadRecord, clip(t.ID), t.Symbol)
	case t.Side != "" && t.Side != Buy && t.Side != Sell:
		return fmt.Errorf("%w: trade %s of %s: side %q, want buy or sell", ErrBadRecord, clip(t.ID), t.Symbol, clip(string(t.Side)))
	case t.Timestamp.IsZero():
		return fmt.Errorf("%w: trade %s of %s without timestamp", ErrBadRecord, clip(t.ID), t.Symbol)
	}
	return nil
}
