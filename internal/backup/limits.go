package backup

const (
	maxNameBytes = 200
	maxHeadBytes = 64 << 10
	maxParts     = 16 << 20 // a log of a few 10⁹ leaves
	maxSumsBytes = 1 << 30  // of so many parts; it is read only after them
	maxWindow    = 64 << 20 // of the decompressor
	maxPadding   = 1 << 20  // zeros at the end of a tar file
)
