package gateway

import "time"

// Limits of a gateway.
const (
	// DefaultHold is how many bytes of segments a gateway holds while the uplink is down: a week of a thousand devices
	// that report every ten minutes is about half of it.
	DefaultHold = 1 << 30
	// MinHold is room for what may be in the making when the store gets full.
	MinHold = 16 << 20

	maxFleetBytes = 24 << 20 // the list of devices: about 100,000
	maxReplyBytes = 1 << 20  // other answers from upstream

	segmentBytes = 256 << 10 // of reports in a segment; small enough for a slow uplink to carry in a few seconds
	maxQueue     = 4096      // reports waiting to be checked
	maxRejected  = 64        // segments set aside, which the upstream will never take

	askTimeout   = time.Minute // for one request to the upstream
	minBackoff   = 250 * time.Millisecond
	maxBackoff   = time.Minute
	refreshEvery = 15 * time.Second // the list of devices
)
