// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package queue

// Outcome says what became of a document that was handed out.
type Outcome uint8

// The outcomes. Retry and Delay leave the document in the queue; all others
// are final and counted.
const (
	Retry Outcome = iota // hand it out again
	Delay                // hand it out again, but not before delayFor
	// Delivered: the receiver has it.
	Delivered
	// Rejected: the receiver refused the document as it was and took it as a
	// document that tells of the refusal.
	Rejected
	// Kept: refused altogether, and written to a local file.
	Kept
	// LostRefused: refused altogether, and there was no room to keep it.
	LostRefused
	// LostTooLarge: larger than the queue takes.
	LostTooLarge
	// LostSpoolFull: the oldest logs, given up for newer documents on disk.
	LostSpoolFull
	// LostMemoryFull: the oldest logs, given up for newer documents while the
	// disk could not be used.
	LostMemoryFull
	// LostCrash: in memory alone when the process was killed.
	LostCrash
	// LostDamage: on disk, and could not be read back.
	LostDamage
	outcomes
)

var outcomeNames = [outcomes]string{
	"retry", "delay", "delivered", "rejected", "kept", "refused", "too large", "spool full", "memory full",
	"killed before it was written", "spool damaged",
}

// String is the reason as it stands in states and metrics.
func (o Outcome) String() string { return outcomeNames[o] }

// Lost reports whether nobody has the document any more.
func (o Outcome) Lost() bool { return o >= LostRefused }

// Counts are documents by their final outcome.
type Counts [outcomes]uint64

// Lost counts the documents that nobody has any more.
func (c Counts) Lost() uint64 { return c.sum(LostRefused) }

// Settled counts the documents about which the queue knows nothing more to do.
func (c Counts) Settled() uint64 { return c.sum(Delivered) }

func (c Counts) sum(from Outcome) uint64 {
	var n uint64
	for _, v := range c[from:] {
		n += v
	}
	return n
}
