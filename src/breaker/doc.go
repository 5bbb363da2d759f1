// Package breaker is a circuit breaker. It knows nothing of what it guards.
//
// Closed, it lets every call through and counts. Open, it refuses every call at once. Half-open, it lets a bounded number
// of trials through. Forced open and disabled are an operator's words: they last until the next one.
//
//	closed ── failure_rate, slow_rate, consecutive_failures ──▶ open
//	open ── probe_passed, or open_time_over where there is no probe ──▶ half-open
//	half-open ── trial_failed ──▶ open, for longer
//	half-open ── trials_passed ──▶ closed
//	any ── tripped, disabled, reset ──▶ forced-open, disabled, closed
//
// It guarantees:
//
//   - A permit is a lease. A trial that hangs, panics or vanishes frees its slot when the lease ends; no state waits for a
//     call that never comes back.
//   - Each state has a generation, and a result counts in the generation that its permit is of or nowhere: one that comes
//     later moves nothing and is counted apart. So does a trial's after its lease.
//   - Never more trials at the same time than the limit, those of an earlier return that failed included.
//   - Where calls ran concurrently when it opened, the limit rises in steps to 1, 5, 25, 50 and 100 % of as many. A step
//     lasts for as many results as its limit; one that breaks a rule leads a step back, and the first one to open.
//   - Only a failed or slow call opens a breaker, a success never does, nor a call that the caller canceled.
//   - Each transition is told once, in order, outside any lock, with the counts that caused it. A listener may call back;
//     one that panics breaks nothing.
//   - Where a probe is given, it alone decides when an open breaker may try again: no caller is the guinea pig. One probe
//     is in flight at most, none when no one wants to call. A probe that panics or ends its goroutine has failed; one that
//     ignores its deadline is given up when its lease ends.
//   - Totals never shrink, and each permit that comes back is in exactly one of successes, failures, ignored and late, or
//     is a trial that expired.
//   - A clock that jumps ahead ends leases and open times, one that goes back ends open times at once: no jump locks it.
//   - The calls of a closed breaker, and refusals, take no lock and allocate nothing: those who are refused share one error.
//     Each side of a call reads the clock once, and refusals of an open time only in its last milliseconds.
//
// It does not bound the calls of a closed breaker, retry, or set deadlines. A half-open breaker waits for callers: a probe
// leads there, but only calls close it. Where nobody calls it stays half-open, and the next calls are its trials. While
// calls are under way its counts may be a call apart from one another. It doesn't notice that a permit of a closed breaker
// is lost, or that Done is called twice.
package breaker
