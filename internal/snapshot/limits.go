package snapshot

import "github.com/lamppost/lamppost/internal/kv"

const (
	// chunkBytes of the state end a chunk; part of the format, for the digest is over the chunks.
	chunkBytes = 1 << 20

	// maxChunkBytes is the longest chunk: a full one but for a byte, and one more pair.
	maxChunkBytes = chunkBytes + 2 + kv.MaxKeyBytes + 4 + kv.MaxValueBytes

	maxChunks      = 1 << 20   // a state of about 1 TB
	maxFooterBytes = 128 << 20 // they take less than 100 bytes each
)
