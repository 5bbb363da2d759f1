// Package aggregator makes one report out of many sources, and says how complete it is.
//
// It guarantees:
//
//   - Coverage is the share of the asked slots whose history is complete: answered by an owner that is in sync, or by all
//     owners, united. Missing lists the other slots with the asked symbols. No more shards are asked than that takes.
//   - Every source is accounted for: total = ok + stale + failed + skipped.
//   - A report leaves before its budget ends, with what had come by then. A source whose breaker is open costs no time.
//   - Below the asked coverage, or above the asked age, the answer is an error that still carries the report.
//   - History has no record twice and is ordered; a page never has a hole that a later page fills.
//   - A price is core's own, with its quality, or else the last one that the shards know, marked stale with core_lost.
//   - HTTP says the same as TCP, errors as problem+json. What is incomplete or of this moment is never to be cached.
//   - Streams are one subscription at the broker, encoded once; a page that is slow sees the newest of each symbol. One that
//     comes back with its Last-Event-ID gets what has changed since; from another aggregator, everything.
//   - The page at / loads nothing but its own files and asks nobody but this aggregator.
//
// It does not guarantee that what one report had is in the next: core tells the two owners of a slot at the same time but not
// in the same instant, and either may answer.
//
// It stores nothing and caches no report. It does not retry: the next request does.
package aggregator
