package export

const (
	rowGroupRows = 1 << 18 // what a reader can skip, and what is held in memory, encoded
	batchRows    = 1 << 10 // handed to the encoder at once
)
