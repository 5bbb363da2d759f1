// Package history is what the prober saw and the judges read: one list of events, one JSON object a line.
//
// A [Recorder] guarantees that events are kept in the order of Add, in memory and, where it was given a writer, there too;
// that it takes no more than its bound, and that [Recorder.Err] says so when more came. It does not guarantee that At
// ascends: a report stands where its answer came, under the time when it was to be sent.
package history
