//go:build !unix

package backup

// Device names the disk that a folder is on, 0 where that is not known.
func Device(string) uint64 { return 0 }
