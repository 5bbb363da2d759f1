// Package engine says what a shard wants of its storage: an ordered durable map. The shard brings pebble; hack/bench puts
// another beside it, to compare.
//
// An engine guarantees that a commit is durable, or nothing of it happened, before it returns, and that a view never changes.
// It does not guarantee that two commits may run at once: the shard makes one at a time.
package engine
