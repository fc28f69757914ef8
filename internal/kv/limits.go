package kv

// Limits of a batch; Store.Apply refuses what is larger. They are far above what a block needs (lamppost.MaxBlockBytes
// is 16 MiB) and far below what the stores could take, so reaching one is a mistake of the caller.
const (
	MaxKeyBytes   = 1 << 10   // a key; it also has at least one byte
	MaxValueBytes = 32 << 20  // a value
	MaxBatchBytes = 256 << 20 // a batch: keys, values and their lengths
)
