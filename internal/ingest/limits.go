package ingest

import "time"

// Limits of what waits here, of what is said, and of bad reports. Those of Config are its defaults.
const (
	maxQueueBytes  = 64 << 20 // of waiting reports
	maxReasonBytes = 512      // the text of a refusal on the wire

	// A device's connections may bring so many bad reports at once, and so many a second: what a device does that holds
	// an old key for a while, and a thousandth of a processor.
	badBurst     = 100
	badPerSecond = 20
	maxDebt      = time.Minute // until a flood is forgiven, however large it was
	suspectTime  = time.Minute // after a bad report, in which its sender's are checked alone
	maxSuspects  = 4096
)
