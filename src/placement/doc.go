// Package placement says which shards own a symbol.
//
// It guarantees that every process that is given the same shard names computes the same owners, whatever the order of the
// list and the addresses: slot = xxhash64(symbol) mod 256, and the owners of a slot are the shards with the highest
// xxhash64(name + "\x00" + slot byte), rendezvous hashing (Thaler and Ravishankar, 1998). A shard added or removed moves
// only the slots that it gains or had.
//
// It does not say whether a shard is alive or has what it owns.
package placement
