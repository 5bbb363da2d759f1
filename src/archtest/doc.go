// Package archtest holds the architecture by tests: which package may import which, that every package says what it
// guarantees, and how long a file may be. It has no code of its own; docs/architecture.md is its text.
package archtest
