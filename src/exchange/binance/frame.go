package binance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"quotes/src/quote"
)

// wrapped is a frame of a combined stream.
type wrapped struct {
	Stream string          `json:"stream"`
	Data   json.RawMessage `json:"data"`
}

// event is the union of the events that matter here. Keys that differ in case alone mean different things, and
// encoding/json takes one for the other unless both are declared. The same key has other types in other events.
type event struct {
	Type      string          `json:"e"`
	At        json.RawMessage `json:"E"` // event time
	Symbol    string          `json:"s"`
	OtherS    json.RawMessage `json:"S"`
	Bid       json.RawMessage `json:"b"` // price; levels of depthUpdate; an id in old trades
	BidSize   json.RawMessage `json:"B"`
	Ask       json.RawMessage `json:"a"` // price; levels of depthUpdate; id of aggTrade
	AskSize   json.RawMessage `json:"A"`
	Last      json.RawMessage `json:"u"` // last update id
	First     json.RawMessage `json:"U"` // first update id
	TradeID   json.RawMessage `json:"t"`
	TradeTime json.RawMessage `json:"T"`
	Maker     *bool           `json:"m"` // the buyer is the maker
	OtherM    json.RawMessage `json:"M"`
	Price     json.RawMessage `json:"p"`
	OtherP    json.RawMessage `json:"P"`
	Quantity  json.RawMessage `json:"q"`
	OtherQ    json.RawMessage `json:"Q"`
}

// The events that are read. A bookTicker of the spot market does not say what it is.
const (
	bookTicker  = "bookTicker"
	depthUpdate = "depthUpdate"
	trade       = "trade"
	aggTrade    = "aggTrade"
)

// parse reads a frame; ok is false where it is none of ours.
func parse(raw []byte) (e event, ok bool, err error) {
	var w wrapped
	if err := json.Unmarshal(raw, &w); err != nil {
		return e, false, err
	}
	body := []byte(w.Data)
	if len(body) == 0 {
		body = raw
	}
	var kind struct {
		Type string          `json:"e"`
		At   json.RawMessage `json:"E"`
	}
	if bytes.HasPrefix(bytes.TrimSpace(body), []byte("[")) { // an array stream, such as !ticker@arr
		return e, false, nil
	}
	if err := json.Unmarshal(body, &kind); err != nil {
		return e, false, named(w.Stream, err)
	}
	switch kind.Type {
	case "", bookTicker, depthUpdate, trade, aggTrade:
	default:
		return e, false, nil
	}
	if err := json.Unmarshal(body, &e); err != nil {
		return e, false, named(w.Stream, err)
	}
	if e.Type == "" {
		if e.Symbol == "" || e.BidSize == nil || e.AskSize == nil || e.Last == nil {
			return e, false, nil // the answer to a subscription, say
		}
		e.Type = bookTicker
	}
	return e, true, nil
}

func named(stream string, err error) error {
	if stream == "" {
		return err
	}
	return fmt.Errorf("stream %.60q: %w", stream, err)
}

// number reads a whole number; what says what it is of.
func number(what string, raw json.RawMessage) (uint64, error) {
	n, err := strconv.ParseUint(string(raw), 10, 63)
	if err != nil {
		return 0, fmt.Errorf("%s %.40q: want a whole number", what, raw)
	}
	return n, nil
}

// microseconds is where the venue's times must be microseconds: as milliseconds they would be of the year 5138.
const microseconds = 100_000_000_000_000

// moment reads one of the venue's times, milliseconds or microseconds since 1970; 0 where it gives none.
func moment(raw json.RawMessage) (quote.Time, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return 0, nil
	}
	n, err := number("time", raw)
	if err == nil && n > 100*microseconds {
		err = fmt.Errorf("time %.40q: want milliseconds or microseconds since 1970", raw)
	}
	if n < microseconds {
		n *= 1000
	}
	return quote.Time(n), err
}

// decimal reads a price or a size.
func decimal(what string, raw json.RawMessage) (d quote.Decimal, err error) {
	if err = d.UnmarshalJSON(raw); err == nil && d.IsZero() {
		err = errors.New("missing")
	}
	if err == nil && d.Sign() < 0 {
		err = errors.New("below zero")
	}
	if err != nil {
		return d, fmt.Errorf("%s %.40q: %w", what, raw, err)
	}
	return d, nil
}
