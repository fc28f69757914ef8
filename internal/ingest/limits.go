package ingest

// Limits of what waits here and of what is said. Those of Config are its defaults.
const (
	maxQueueBytes  = 64 << 20 // of waiting reports
	maxReasonBytes = 512      // the text of a refusal on the wire
)
