// Package cli is quotectl: one file a command, over a small layer that asks and one that prints.
//
// It guarantees:
//
//   - Data goes to Config.Out, messages go to Config.Err. Nothing else is read or written, but for the environment,
//     the file that --resume of sub and of history names, and temporary folders of demo and bench.
//   - The exit code says what the answer is worth: 0 complete and live, 1 an error, 2 wrong usage, 3 partial (coverage
//     below 1), 4 stale (a price that is not live). 3 goes before 4.
//   - quotectl speaks to the broker and the aggregator alone, and breaker to the admin listeners of core and the aggregator; to
//     each for at most --timeout a request.
//   - No control character from the network reaches a table, a message or a terminal. Off a terminal, JSON is as it came.
//   - sub checks every frame's position against the one before: a gap that the broker did not name is an error, not a shrug.
//   - When ctx ends Run returns at once; a sub or a top then ends with code 0, all else with 1.
//
// It does not guarantee that a frame was shown once when the process was killed: --resume writes positions at the end.
package cli
