// Package exchange is the market that the system listens to: simulated or replayed, and unstable on purpose.
//
// It guarantees:
//
//   - A session begins with a snapshot of every symbol that the market has named, quote and last trade, but for a quote behind
//     which a crossed one came or the book had a hole; core then calls the price recovering. It goes on without a hole: its frames are numbered 1, 2, 3 …. Snapshot and join are one instant. A reader that lags by more than 65,536
//     events is cut off with a reason, never silently thinned out. Any number of sessions share one tape of events.
//   - Something goes out each 100 ms, a heartbeat where there is nothing else, whatever the market does: silence means that
//     something is wrong.
//   - Bid is below ask in every quote, and every price is exact. A tick that is neither is refused, counted and named.
//   - Faults are a function of the seed and of the number of the session and its second, or of the request or connection:
//     the same seed brings the same faults. They never touch the admin listener.
//   - In an outage every connection is reset, and each new one right after it was accepted: to a client that is a dead
//     exchange, and no other process can take the port. When a replay has ended, sessions get all of it, then the listener
//     is closed.
//
// A [Source] is the market as clients see it; decorators wrap it, one a file. A [Generator] is what makes it. Sub-packages:
// sim is the simulated market, replay plays captures, coinbase and binance read those venues' frames, depth keeps a side of a
// book, fault plans the faults.
//
// It does not store anything: what nobody listened to is gone. In a hang nothing is said, except that a request whose own
// deadline passes gets deadline_exceeded.
package exchange
