// Package service is what all processes share beside their work: flags, logs, signals, the admin listener, exit codes.
//
// It guarantees:
//
//   - Signals become a context here and nowhere else: the first one ends it, the second ends the process at once.
//   - Every flag falls back to the environment, QUOTES_<FLAG>, dashes as underscores; the flag wins.
//   - The admin listener answers as long as the process lives, whatever happens on the data port: /metrics, /livez, /readyz,
//     /debug/pprof/ and what the process registered. It stops last. What changes something is a POST below /-/, and
//     not for pages in browsers.
//   - /readyz speaks only of the process's own ability to answer.
//   - A process ends with 0 after a clean stop, 1 after an error, a value that it refuses included, 2 where flags or environment
//     can't be read, each with one line on stderr.
package service
