package recheck

// Limits of one check.
const (
	maxFaults    = 100     // that are named
	batchItems   = 8192    // signatures that are verified together
	batchReports = 1 << 16 // reports of which a batch may remember more than their signatures
)
