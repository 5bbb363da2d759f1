// Package coinbase reads the frames of the Coinbase Exchange WebSocket feed: snapshot, l2update, ticker, match, last_match.
//
// It guarantees, for each product: a quote whenever best bid, best ask, their sizes or the last price change, made from the
// book as the venue's frames build it; a trade for every match and last_match, with the taker's side (the venue names the
// maker's). A quote's timestamp is the newest venue time that went into it; where the venue gave none, as for a snapshot,
// it is the line's, and the record says that it is untimed.
//
// Ticker sequences are not contiguous and are not looked at. What does not parse is an error that names the product; the
// book goes on without it. Format: the venue's public documentation of its WebSocket channels.
package coinbase
