package mapping

// Limits of mapping files, messages and of what is remembered.
const (
	maxFileBytes = 1 << 20
	maxMappings  = 256
	maxReadings  = 64
	maxMessage   = 64 << 10 // bytes of a message
	maxSeen      = 1024     // devices that spoke and are not enrolled; the one that was silent longest gives way
	maxShift     = 30       // powers of ten in a number's exponent
	maxDigits    = 64       // characters of a number
)
