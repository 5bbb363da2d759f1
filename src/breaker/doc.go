// Package breaker is a circuit breaker. It knows nothing of what it guards.
//
// Closed, it lets every call through and counts. Open, it refuses every call at once. Half-open, it lets a bounded number
// of trials through. Forced open and disabled are an operator's words: they last until the next one.
//
// It guarantees:
//
//   - A permit is a lease. A call that hangs, panics or vanishes frees its slot when the lease ends; no state waits for a
//     call that never comes back.
//   - A result counts only for the state it was acquired in: one that comes late or after its lease moves nothing and is
//     counted apart.
//   - Never more trials at the same time than configured.
//   - Each transition is told once, in order, outside any lock, with the counts that caused it. A listener may call back.
//   - Where a probe is given, it alone decides when an open breaker may try again: no caller is the guinea pig. One probe
//     is in flight at most, with its own deadline.
//   - A caller's own cancellation is neither success nor failure.
//
// It does not bound the calls of a closed breaker, retry, or set deadlines.
package breaker
