// Package core is the only sequencer: it streams from the exchange behind a circuit breaker, gives each record its position,
// keeps the last value of every symbol, publishes to the broker and appends to the shards that own the symbol.
//
// It guarantees:
//
//   - Within one epoch the seqs of a topic are 1, 2, 3 … without a hole, in the order of the exchange's session. A position
//     is never given twice: an epoch is above every one that the broker and the shards know, and a core that learns of a
//     newer one ends ([ErrFenced]).
//   - A price is live only while the session is up, not silent, and this symbol was refreshed in it. On a cut, and 500 ms
//     after the last frame of an open session, every symbol becomes stale, as a record of its own with the reason. After
//     the return each is recovering until its own snapshot is in. The newest record of a quote topic is always the current
//     value: behind a late quote the current one is repeated.
//   - REQ_QUOTE is answered from memory, with the age from a monotonic clock.
//   - Nothing waits for a slow broker or shard. What the broker missed shows in HELLO's next; what neither owner of a slot
//     could take in a bounded buffer is given up, counted, and named in status and to the shards.
//   - Status never calls a record durable that no owner has acknowledged as on disk.
//
// It does not guarantee that what was published is durable: publishing does not wait for storing. And ticks that the
// exchange sends while core is away or the session is cut never get a position. What a core had given a position and not
// yet stored or told when it ended is in no shard's ranges, nor among its losses: these are told by the core that gave up.
package core
