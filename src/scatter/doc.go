// Package scatter asks several nodes for parts of one answer, where each part has replicas, and accounts for every node.
//
// A question has keys; each key has owners, any of which can answer for it. Gather asks as few nodes as it can: each time
// the one that owns most of what is open (greedily, so not always the least possible number), of equal ones that with the
// fewest calls outstanding.
//
// It guarantees:
//
//   - Gather returns when all keys are covered, when nobody is left to ask, or when the context has ended, whichever is
//     first, with one row a node: total = ok + stale + failed + skipped. Nothing that a node does later changes it.
//   - A key is covered when one owner has answered completely for it, or when all of its owners have answered.
//   - An owner whose breaker is open costs no time: it is skipped and its twin asked. An error moves on at once. Where keys
//     stay open, the caller may allow a call past the breaker, of 100 ms: four at the same time at a node, so that a node
//     which is down for its load gets rid of it, and none where an operator forced it open.
//   - What came before a call failed may count: then only its other keys are asked of others.
//   - A call that takes longer than the 95th percentile of the other owners is hedged: one of them is asked too, and who is
//     outrun is canceled. Hedges never exceed 5 % of the calls made before: a token bucket that starts empty and holds 10.
//     There are none while most nodes are slow, and none to a slow one.
//   - A node that answered nothing for three times its own 95th percentile, with a call outstanding, is suspect: what waits
//     for it fails over, uncharged, to a twin that is not slow, and it is asked last until it answers something. A probe
//     does that test in the background, through the breaker; no user's request is the guinea pig.
//   - When half of the time is over, every owner of what is still open is asked, slow or suspect or not.
//   - A call that outlives its deadline is a failure for the breaker, unless it was given less than 100 ms; one that was
//     canceled, by the caller or because it was outrun, is none.
//
// It is generic: it knows nothing of what is asked and does not merge answers. It keeps one distribution of latencies a
// node, whatever is asked: questions of very different cost blur it.
package scatter
