package pilot

// FeedBytes is the memory of a series that is forecast.
func FeedBytes() int { return newFeed(nil, "").series.Bytes() }
