package cosign

import "time"

// Limits of what a witness can cost the log that asks it.
const (
	// DefaultTimeout is how long all of a witness's answers to one checkpoint may take.
	DefaultTimeout = 5 * time.Second

	maxAnswerBytes = 16 << 10 // cosignatures, or a refusal in words
	maxTries       = 4        // requests to one witness for one checkpoint: it tells its size, and it may have moved on meanwhile
	maxWords       = 200      // of a refusal, kept for people
)
