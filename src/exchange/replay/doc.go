// Package replay plays a recorded session of a venue again, in the venue's own frames and at its own pace.
//
// A capture has a line a frame, `<unix time>: <frame>`; lines with <-> and <- name the connection and what was sent. The
// first line says which venue it is. Empty lines are nothing.
//
// It guarantees that the clock starts with the first session, that each pass of a loop begins with snapshots and gives
// trades new ids, and that a line that does not parse is counted, named in the log at most once a second, and skipped. A
// file that is unreadable or of an unknown venue is refused before anything starts.
package replay
