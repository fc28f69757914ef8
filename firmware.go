package lamppost

import "encoding/binary"

// FirmwareName is the name of the reading by which a device says what it runs. See [FirmwareReading].
const FirmwareName = "firmware"

// FirmwareValue is how a device says which image it runs: the first 60 bits of the image's SHA-256 as an integer, which fits into every
// reading. Somebody who can choose images can make two with one value by 2³⁰ tries, but not one with the value of a given image.
func FirmwareValue(image Hash) uint64 { return binary.BigEndian.Uint64(image[:]) >> 4 }

// FirmwareReading is what a device reports of the image it runs, by its SHA-256: a gauge, signed with the report it stands in. It belongs
// into the first report after a start, and may stand in every one.
func FirmwareReading(image Hash, at TimeMS) Reading {
	return Reading{Name: FirmwareName, Time: at, Kind: Gauge, Value: Dec(int64(FirmwareValue(image)), 0)}
}
