// Package watch shows a breaker to Prometheus, apart from package breaker, which depends on nothing.
//
// It guarantees that the state is one number, so that no label series is left behind by a transition, and that counters never shrink.
package watch
