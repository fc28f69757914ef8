package archive

import "github.com/lamppost/lamppost"

const (
	// MaxHotBytes of bodies are sealed into a pack; about as many stay in the store. A pack is the unit that is read and
	// written again when something is taken out of it.
	MaxHotBytes = 8 << 20

	// MaxHotMS is how long bodies stay in the store at most.
	MaxHotMS lamppost.TimeMS = 24 * 3600 * 1000

	// MaxEncodedBytes is the longest block that DecodeBlock reads: its transactions, their results, and a little for each.
	MaxEncodedBytes = 64 << 20

	frameBytes    = 256 << 10 // of blocks in a frame, uncompressed: the unit that is read for one proof
	maxFrameBytes = 64 << 20  // a frame: a block has at most lamppost.MaxBlockBytes of transactions, and their results
	maxCacheBytes = 64 << 20  // of frames that were read, uncompressed

	maxPackValues = 1 << 24 // in the summaries of a pack, decoded

	footerGuess    = 16 << 10 // read at once: enough for the footers of ordinary packs
	maxFooterBytes = 16 << 20
)
