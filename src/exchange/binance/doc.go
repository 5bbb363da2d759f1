// Package binance reads the frames of Binance's WebSocket streams: bookTicker, depthUpdate with its REST snapshots, trade and
// aggTrade, wrapped as combined streams or bare.
//
// It guarantees, for each symbol: a quote whenever best bid, best ask, their sizes or the last price change. They are
// bookTicker's from its first frame on; before that, or where there is none, they are those of the book that a snapshot
// and the updates behind it make: each update must continue the one before, and where one is missing that is a refusal
// and the book says nothing until another snapshot. Without a snapshot depthUpdate says nothing. A trade for every trade
// or aggTrade, whichever of the two the symbol has first, with the taker's side.
//
// A trade's timestamp is the venue's. A quote's is the newest that the venue gave with what it is made of; a bookTicker has
// none and a snapshot neither: theirs is the line's, and the record says that it is untimed. A bookTicker's update id is
// not contiguous: what is older than the last is left out, and gaps mean nothing.
//
// What does not parse or can't be kept exactly is a refusal that names the symbol; the rest goes on. Other streams are
// nothing. It does not look for crossed books: who publishes does. Format: the venue's public documentation.
package binance
