// Package scatter asks several targets at once and accounts for every one of them.
//
// It guarantees:
//
//   - Gather returns when all have answered or the context has ended, whichever is first, with exactly one row a target:
//     ok, failed or skipped. Nothing that a target does later changes it.
//   - A target whose breaker does not let a call through is skipped at once and costs no time.
//   - A call that outlives the context counts as failed, for the row and for the breaker; one that the caller canceled
//     counts for neither.
//
// It is generic: it knows nothing of what is asked, and does not merge answers.
package scatter
