// Package audit provides the durable record of every pull: JSON lines in which each line carries the hash of the
// line before, many records to one fsync, and the means to verify and to query them.
//
// A record that Log.Decided has returned for is on stable storage; what cannot be written is refused, never dropped.
// Three things it does not promise. The chain is not keyed: who may write the folder can forge a whole new chain, so
// keep the checkpoint that Verify reports somewhere else and compare it with VerifyAgainst. Nothing is ever deleted:
// retention is the operator's, by moving whole old segments away. And Time is what the wall clock said; Seq orders.
//
// # The folder
//
//	pulls-<first seq>-<time>.jsonl   a segment; names sort by sequence. The one written to is the last
//	pulls-….jsonl.<offset>.torn      bytes that a crash left after the last whole line, kept aside
//	head.json                        the newest record's seq and hash, at most a second old while running
//	reserve                          space that is given up when the disk is full, so that refusals are still recorded
//	lock                             held by the one process that writes here
//
// # The chain
//
// A line is one JSON object and a newline. Its prev is the lower-case hex SHA-256 of the line before it, without that
// line's newline, over the ends of segments and over restarts. The first record of all has seq 1 and 64 zeros as prev.
//
// # Faults
//
// Disk full: what would serve content is refused with an error of status 503; refusals go on being recorded in the
// space of the reserve, and are counted once that is used up too. A failed fsync seals the segment as suspect; a new
// one is started and nothing in doubt is assumed written. The log tries again every second and resumes by itself.
// A segment that is unlinked or renamed while it is written is put back from the open file.
package audit
