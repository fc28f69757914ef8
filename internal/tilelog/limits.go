package tilelog

const (
	// MaxLeafBytes is the longest leaf: its length is written in two bytes (C2SP tlog-tiles, "Log entries").
	MaxLeafBytes = 1<<16 - 1

	// MaxSize is the most leaves a log takes. It keeps every index of tlog's numbering, about twice the size, within
	// an int64 with room to spare; at a million leaves a second it lasts 2,000 years.
	MaxSize = 1 << 56

	// MaxProofLeaves is the most leaves that one pool of Nodes proves.
	MaxProofLeaves = 1 << 16

	// maxPutBytes is about how much is handed to a Storage at a time: some 800 tiles and bundles of the ledger's leaves.
	maxPutBytes = 16 << 20
	// manyFiles is how many files are made durable together rather than one by one.
	manyFiles = 16

	// maxFileBytes is the longest file of a log: a bundle of the longest leaves.
	maxFileBytes = 256 * (2 + MaxLeafBytes)

	// maxTreeFiles is how many files a Tree keeps, of up to 20 KiB where leaves are the ledger's.
	maxTreeFiles = 1024
)
