package device

// The disk layer, for the tests that take its power away.
type (
	Disk = disk
	File = file
)

// OpenOn opens a device on a disk that is not the operating system's, and that rewrites its files often.
func OpenOn(cfg Config, on Disk) (*Device, error) {
	cfg.Dir = "-"
	cfg.compactQueue, cfg.compactEdges = 600, 300 // so that few reports are enough to rewrite both
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	return openOn(cfg, on)
}

// Sizes that tests reason about.
const (
	ReserveAhead    = reserveAhead
	CompactBytes    = compactBytes
	MaxRefusedBytes = maxRefusedBytes
)
