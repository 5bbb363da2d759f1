// Package faults has what broke circuit breakers in the field as scenarios that any breaker can be put through: ours must pass all,
// and make bench-breaker prints who passes what.
//
// A clock that jumps is not among them: the peers take no clock. Our own tests have it.
//
// It guarantees that every scenario ends within a few seconds, whatever the breaker does, and that one that can't be asked of a
// breaker (it has no such thing) counts as not passed and says so.
package faults
