// Package exchange is the market that the system listens to: simulated or replayed, and unstable on purpose.
//
// It guarantees:
//
//   - A session begins with a snapshot of every symbol and goes on without a hole: its frames are numbered 1, 2, 3 …
//     A reader that cannot keep up is cut off with a reason, never silently thinned out.
//   - A heartbeat goes out every 100 ms, whatever the market does: silence means that something is wrong.
//   - Bid is below ask in every quote, and every price is exact.
//   - Faults are a function of the seed, the session's number and the second within it: the same seed brings the same
//     faults. They never touch the admin listener.
//
// Sub-packages: sim is the simulated market, coinbase reads recorded sessions of that venue, fault plans the faults.
// It does not store anything: what nobody listened to is gone.
package exchange
