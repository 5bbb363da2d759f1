// Package chunk packs up to 1,024 records of one topic and epoch into a few bytes each, and gives them back byte by byte.
//
// It guarantees:
//
//   - What Decode returns is what Append got: seqs, both times, and payloads to the byte, whatever they are.
//   - A chunk that was torn, flipped or stored under another address is refused with [ErrBad], which every error wraps and
//     which names the address; no input makes it panic, and what it allocates is bounded by MaxRecords and MaxPayload.
//   - The header is readable without decoding: how many records, first and last position and time, the range of both times,
//     the lowest and highest price.
//
// How: a payload is text with numbers in it. The text is the same in nearly all records of a topic, and is stored once, as a
// template; the numbers make columns, each told apart by the JSON member it stands in. Every column is predicted, by whichever
// of a few ways comes nearest in this chunk: from the value before, from the step before, from a steady pace, from another column
// of the same record, from that column's last step, or from what stood beside the same value of that column last. What is left
// is divided by its common divisor; its magnitude is a symbol, coded by Huffman or tANS, and the bits below are stored as they
// are (the exponential codes of zstd's and deflate's lengths: RFC 8878, 3.1.1.3.2.1). Where records have no common shape, their bytes are
// compressed with zstd.
package chunk
