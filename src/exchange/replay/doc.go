// Package replay plays a recorded session of a venue again, in the venue's own frames and at its own pace.
//
// A capture has a line a frame, `<unix time>: <frame>`; lines with <-> and <- name the connection and what was sent. The
// first line says which venue it is: Coinbase or Binance. Empty lines are nothing. A Binance session's books come from a file
// of their own, `<url> -> <unix time>: <body>` a line, each taken at its recorded time.
//
// It guarantees:
//
//   - The first record is said at once, so that requests have an answer; the clock starts with the first session, and
//     nothing else is said before.
//   - Each pass of a loop begins with snapshots, gives trades new ids and keeps the recorded timestamps.
//   - A line or a tick that can't be taken is a refusal that names the line; the rest is played.
//   - A file that is unreadable, of an unknown venue, or without any quote or trade is an error.
//
// It does not make up for a session that was not there: what nobody listened to is gone.
package replay
