package behave

import "math/bits"

// Octave is the bin of a number among most: 0, 1, 2 to 3, 4 to 7, …; the last bin takes what is above.
func Octave(x uint64, most int) uint16 { return uint16(min(bits.Len64(x), most-1)) }

// octaveFrom is the least number of a bin of Octave.
func octaveFrom(bin int) uint64 {
	if bin == 0 {
		return 0
	}
	return 1 << (bin - 1)
}

// half is the bin of a number among most, two for each octave: 0, 1, 2, 3, 4 to 5, 6 to 7, 8 to 11, ….
func half(x uint64, most int) uint16 {
	n := bits.Len64(x)
	if n < 2 {
		return uint16(n)
	}
	return uint16(min(n+n-2+int(x>>(n-2)&1), most-1))
}

// halfFrom is the least number of a bin of half.
func halfFrom(bin int) uint64 {
	if bin < 2 {
		return uint64(bin)
	}
	n := (bin + 2) / 2
	return 1<<(n-1) | uint64(bin&1)<<(n-2)
}
