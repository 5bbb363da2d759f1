// Package wire is the protocol: frames, message types, error codes, a [Server] and two kinds of client connection.
//
// A frame is one UTF-8 JSON object on a line of at most 1 MiB. docs/protocol.md has every type.
//
// [Server] guarantees, per connection:
//
//   - Frames are handed over in order of arrival, by one goroutine. Replies may be sent from any goroutine, in any order;
//     each is written whole, and what was sent is with the operating system when Send returns.
//   - A line that is too long, no JSON object or slower than 10 s from its first byte gets an ERROR and the connection is
//     closed; input that follows is thrown away for half a second, so that the ERROR arrives. A frame with a field of a
//     wrong type gets an ERROR and the connection lives on.
//   - Memory is bounded: one line in, a bounded number of requests in work (then it is not read any more), nothing queued
//     out. An idle connection costs less than 32 KiB.
//   - A connection without a subscription is closed after 5 minutes of silence. A held one ([Conn.Hold]) is closed only
//     when a write fails; it outlives the client's half-close.
//   - On shutdown each client gets GOAWAY and its requests in work are answered, within a bound. Work whose function
//     outlives its context is waited for all the same.
//
// [Session] is one client connection: requests are pipelined, the deadline of the context crosses the wire as budget_ms and
// is kept whatever the server does. [Client] keeps a Session alive: it dials with jittered backoff, stays away for as long
// as a GOAWAY asks, and resolves names anew each time. One session's OnFrame has ended before OnDown and the next OnUp.
// It retries nothing: a request either has an answer or an error.
//
// The package does not know what frames mean, and does not guarantee that a frame sent was received.
package wire
