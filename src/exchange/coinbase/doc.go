// Package coinbase reads the frames of the Coinbase Exchange WebSocket feed: snapshot, l2update, ticker, match, last_match.
//
// It guarantees, for each product: a quote whenever best bid, best ask, their sizes or the last price change, made from the
// book as the venue's frames build it; a trade for every match and last_match, with the taker's side (the venue names the
// maker's). A trade's timestamp is the venue's. A quote's is the newest that the venue gave its book; before the first, as
// right after a snapshot, it is the line's, and the record says that it is untimed: the ticker and last_match that open a
// session have the time of an old trade, at which the book was another one.
//
// Ticker sequences are not contiguous and are not looked at; nor are a ticker's best bid and ask, which the book has. What
// does not parse or can't be kept exactly is a refusal that names the product; the book goes on without it. It does not
// look for crossed books: who publishes does. Format: the venue's public documentation of its WebSocket channels.
package coinbase
