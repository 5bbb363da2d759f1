// Package sim is a simulated market: a seeded random walk a symbol, with quotes around it and trades on them.
//
// It guarantees that the same seed and symbols give the same prices and sizes in the same order, that bid is below ask,
// that a trade is at the bid or ask quoted before it, and that the long-run rate is the one asked for: after a stall of more
// than 100 ms the rest is dropped, not made up for in a burst. Times and trade ids are those of the run: ids never repeat
// across runs.
package sim
