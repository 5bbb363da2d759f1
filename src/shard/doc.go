// Package shard is a shard process: durable history of the slots it owns, two owners a slot.
//
// It guarantees:
//
//   - APPENDED comes only when the records are synced to disk. Its position of a topic is the mark through which
//     everything of the epoch is on disk here or was named as lost, not merely the newest.
//   - A record never changes. The same one again is nothing; another one at its position is refused, counted and logged,
//     and the first is kept.
//   - Fencing: epoch and instance of a core are stored, synced, before its HELLO is answered. From then on a lower epoch,
//     or the same one from another instance, is refused with stale_epoch, at HELLO and at every APPEND, and cut off; so is
//     a core whose epoch is below that of a record that came from a twin. An epoch more than a day ahead of the clock is
//     bad_request.
//   - in_sync of a slot is true only while core's session is up and was heard within 3 s; every seq of its epoch below
//     HELLO's next, and through each APPEND since, is on disk or was named as lost; and, since our start and since this
//     epoch was announced, all that each twin held of older epochs was copied. The comparison counts only where the twin
//     knew the epoch before it answered, so that no older core could add to it afterwards.
//   - Ranges say what is held, exactly. Lost, beside them, names seqs that core said no shard will ever get; they are kept
//     as long as records beside them would be, and passed on to twins. A record that comes for such a seq all the same is kept, and is then held.
//   - Repair goes by itself: at start, at every HELLO, when a seq is skipped, and every half second while a slot is not in
//     sync. It copies what a twin holds and we lack, one bounded page in flight to each twin, at most RepairMB a second,
//     and leaves to core what core has yet to append. Appends and reads go on meanwhile.
//   - The newest records of a topic that is asked for are kept in memory and answered from there, as storage would answer: only
//     what is on disk, and nothing left out.
//   - Memory is bounded by the flags, by the number of topics, epochs and holes (not of records), and by one page of
//     history for each request in work.
//   - A block of 1,024 positions of a topic and epoch, all of them on disk or lost, becomes one chunk ([quotes/src/shard/chunk]),
//     in the commit that removes its rows; so does what is left of an epoch that is over. Reads give the bytes that core
//     wrote, whether they lie in rows or in a chunk. Sealing takes at most a quarter of one core's time while records come in,
//     else half.
//   - Retention lets whole blocks go, of each topic the oldest first and never the newest, and stores the first position
//     that is left: the topic's floor. Nothing below it is stored, told, named as lost or repaired again. Twins exchange
//     floors; the higher one wins.
//   - What it believes to hold is compared with what each twin has, for ever, by checksums of what is read from disk, over
//     blocks of 1,024 positions; what the disk has lost is written again. Two records that differ are counted and logged.
//   - A data folder is of one shard among the shards that its records were placed on: under another name, or among others, it is
//     refused. Slots would have owners that know nothing of what is there, and call that all.
//   - Damaged files are refused, at the start or when they are read, by an error that wraps [ErrDamaged]: nothing is served
//     from such a folder any more. With Config.Rebuild it is set aside and all is copied from the twins. A file WITNESS holds
//     the checksum of storage's list of tables, which storage itself takes for complete where its end is torn off.
//   - Below ReserveMB of free disk, cores and repairs are refused with unavailable; reads go on. Where others fill the disk
//     from one moment to the next, what was begun finds room in a quarter of ReserveMB that the file BALLAST kept for it.
//
// It does not guarantee that both owners have a record: core knows that. With core away no slot is in sync, whatever is on
// disk. A seq that neither owner holds and core never named as lost stays a hole, and its slot out of sync, until core
// starts a new epoch. Which of two records at one position is right it can't say: each twin keeps its own.
package shard
