// Package cluster runs all seven processes in one, on free ports of the loopback: for tests, benchmarks and demos.
//
// It guarantees that the processes meet over TCP only, as they do when each runs for itself, and that each can be stopped
// and started again by name at the same address and with the same data, while the others go on. Stop waits until a process
// has ended.
//
// It does not isolate memory or crashes: a process here is a set of goroutines. What needs kill -9 is tested on real ones.
package cluster
