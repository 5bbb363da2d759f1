// Package judge says whether a history keeps the promises of docs/operations.md. Its checkers are pure functions of events:
// no clock, no cluster.
//
// Each guarantees that it passes nothing empty: it has a floor on how many events it must have seen, and fails with
// [ErrTooFew] below it. An error names the first faults with their times, as spans from the window's begin.
//
// A report is judged by when it was due, not by when its answer came: one that was due before a bound may be answered either
// way, one that was due after it must be right.
package judge
