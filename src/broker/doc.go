// Package broker distributes what core publishes: one retained log a topic, subscribers as cursors in it.
//
// # What it guarantees
//
// Let the records of a topic be ordered by their position (epoch, seq). For each topic and subscription:
//
//   - What is delivered is a subsequence of that order. No record is delivered twice on one connection, whatever
//     subscriptions overlap.
//   - A snapshot is the newest record at the moment it is taken, and is followed by every later record that the mode
//     promises: there is no instant between snapshot and stream.
//   - Every record that is not delivered is accounted for, before the next one of its topic: by skipped in that next
//     frame (conflation: mode latest or sampled, or lag), or by LOST. Trades and status are never conflated.
//   - Resuming from a position continues exactly behind it, or names in LOST what is no longer there.
//   - Whether core is there is told in heartbeats and snapshots: at once on a cut, within 3 s on silence.
//
// Less formally: read prev, skipped and LOST, and you can prove that you have seen everything or know exactly what not.
//
// Nobody waits for a slow reader: it holds cursors, not a queue. One that lags is conflated or cut through, one that stops
// reading is cut off when a write fails. Memory is bounded by the retention, however many subscribers there are.
//
// # What it does not guarantee
//
// Order across topics. Durability: the log lives as long as the process; after a restart core's HELLO brings the newest
// record of each topic back and names the rest as lost; history is the shards'. Nor that what it accepted was delivered.
package broker
