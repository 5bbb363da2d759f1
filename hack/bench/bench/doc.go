// Package bench is what all benchmarks share: rounds that interleave ours and theirs, medians, and the report.
//
// It guarantees that every row that was measured is printed, good or bad, and that the last line is the RESULT line for programs.
// It judges nothing: a missed goal is said in its row, and the program ends with 0.
package bench
