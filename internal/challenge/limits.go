package challenge

import "time"

const (
	// maxQueue is how many reports may wait to be looked at: at one in a hundred, those of 400,000 reports.
	maxQueue = 4096
	// retryAfter is the pause before an accusation is brought again that was not decided.
	retryAfter = time.Second
)
