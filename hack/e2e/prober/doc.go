// Package prober asks for reports at a fixed rate and follows the broker's feed, and writes what it saw into one history.
//
// It guarantees an open loop: request n of a path is due n intervals after the start, whatever became of those before it,
// and its latency counts from then. Each due request becomes one event, also where it could not be sent because too many
// were under way. Nothing is retried. A request that is under way when Run's context ends is waited for, at most its timeout.
// The subscriber records every frame as it came and resumes from its positions; whether they add up is for package judge.
//
// It does not judge, and it does not keep the rate where the machine has no time for it: latency then tells.
package prober
