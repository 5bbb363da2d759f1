// Package sim is a simulated market: a seeded random walk a symbol, with quotes around it and trades on them.
//
// It guarantees that the same seed and symbols give the same prices and sizes in the same order, that bid is below ask,
// and that the long-run rate is the one asked for. Times and trade ids are those of the run: ids never repeat across runs.
package sim
