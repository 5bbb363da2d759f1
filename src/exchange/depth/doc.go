// Package depth keeps one side of a venue's book by price, as the venues' decoders need it.
//
// It guarantees that Best is the highest bid or the lowest ask of what was set and not removed, with the digits that the
// venue sent; a price is the same in whatever digits. It does not know of crossed books, and it is not for use by several
// goroutines.
package depth
