package brokerd

import "time"

// Limits of a node's part at a broker.
const (
	DefaultWindow     = 1024                   // messages taken and not acknowledged; Receive Maximum, beyond which the broker keeps them
	DefaultMinBackoff = 500 * time.Millisecond // between attempts to connect
	DefaultMaxBackoff = time.Minute
	maxWindow         = 32 << 10 // below the 65,535 packet identifiers there are

	SessionExpiry = 24 * time.Hour   // how long the broker is asked to keep messages while this node is away
	DrainTimeout  = 5 * time.Second  // at the end, for the acknowledgements of what was taken
	keepAlive     = 30 * time.Second // a dead connection is noticed after about twice that
	ioTimeout     = 20 * time.Second // to connect with TLS, for an answer, and for the broker to take a packet
	settleTime    = time.Minute      // after a session was resumed: what comes may have waited in it

	// maxPacket is the largest message the broker may send: a report of the largest size and then some, so that a device
	// hears that its report is too large; beyond it the broker drops it (MQTT 5 §3.1.2.11.4). A window of these is 72 MiB.
	maxPacket  = 72 << 10
	maxRefused = 256 // refusals on their way to the broker; further ones are dropped
	// Bad reports that the broker may bring at once, and a second, before it is read more slowly: many devices', for a few
	// hundredths of a processor. A connection that a single device logged in over may bring a fiftieth.
	badBurst     = 5000
	badPerSecond = 1000
	readBytes    = 64 << 10             // the read buffer
	ackEvery     = 5 * time.Millisecond // acknowledgements that are ready are sent so often, in the order of the messages
)
