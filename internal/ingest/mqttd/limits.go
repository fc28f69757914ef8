package mqttd

import "time"

// Limits of the front door. Config can set those a deployment has a reason to change; these are the defaults and the
// bounds of everything that is kept per connection or per device.
const (
	DefaultMaxConnections = 10_000           // open sockets, those that have not said CONNECT yet included
	DefaultMaxPacket      = 64 << 10         // bytes of one MQTT packet that are kept; four times the largest report
	DefaultInFlight       = 1024             // reports per connection that wait for their acknowledgement
	DefaultBusyTimeout    = 30 * time.Second // how long a connection is left unread before it is sent away
	MaxInFlight           = 32 << 10         // below the 65,535 packet identifiers there are

	ConnectTimeout = 10 * time.Second      // for the TLS handshake, and again for a whole CONNECT
	DiscardTimeout = 5 * time.Minute       // for the rest of a report that is too large, on a connection without keepalive
	WriteTimeout   = 30 * time.Second      // a peer that takes no byte for so long is closed
	FloodPause     = 5 * time.Second       // how long a device that brought too many bad reports is left unread before it is sent away
	DrainTimeout   = 5 * time.Second       // at shutdown, for the acknowledgements of what was submitted
	lingerTimeout  = time.Second           // for the peer to read a farewell before the socket is closed
	acceptPause    = 50 * time.Millisecond // after a failure to accept that passes, such as too many open files

	MaxDesiredBytes  = 16 << 10 // a desired state
	MaxReaders       = 64       // connections of administrators
	MaxAlarms        = 10_000   // devices whose alarm is shown
	MaxAlarmBytes    = 16 << 10 // an alarm
	readerBurst      = 64       // publishes of administrators, which are refused; then one a second
	MaxRefusedKept   = 16       // refusals kept for a device that has not subscribed, and queued for one that has
	maxFilters       = 8        // in one SUBSCRIBE, and of an administrator in all; a device has two topics to read
	maxReplyBytes    = 16 << 10 // SUBACK, PINGRESP …: beyond it the connection is not read until the peer takes some
	maxWriteBytes    = 64 << 10 // acknowledgements put into one write
	minReadBytes     = 4 << 10  // the read buffer of a quiet connection
	maxReadBytes     = 128 << 10
	maxSlabBytes     = 64 << 10 // one allocation for the reports that arrived together
	minWindow        = 16       // acknowledgements a quiet connection has room for; doubles up to the in-flight limit
	firstAuthDelay   = 100 * time.Millisecond
	maxAuthDelay     = 5 * time.Second
	authMemory       = time.Minute // how long a failed log-in counts against its address
	maxAuthAddresses = 4096
)
