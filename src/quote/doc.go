// Package quote is the vocabulary of the system: symbols, topics, positions, exact decimals, times, quotes and trades.
//
// It guarantees:
//
//   - A [Decimal] is exact and keeps the digits it was parsed from: "27.30" stays "27.30". What does not fit in 19 digits
//     is an error, never rounded. No float64 is involved anywhere.
//   - A [Time] is a whole number of UTC microseconds and is written as RFC 3339 with six digits.
//   - Whatever Parse… or Validate accepts, AppendJSON writes, and what AppendJSON writes is read back equal.
//   - Decoders never panic and hold no reference to the bytes they were given.
//
// It knows nothing of connections, storage or clocks; ages and deadlines are computed by those who answer.
package quote
