// Package fault plans what goes wrong at the exchange.
//
// It guarantees that a plan is a pure function of its seed and of what is asked: the number of a connection, of a session
// and the second within it, of a request. The same seed brings the same faults, in any order of asking.
package fault
