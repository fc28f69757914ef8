package device

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/lamppost/lamppost"
)

// Firmware returns the SHA-256 of the image in a file, or, where path is empty, of the program that runs. A device that reports it with
// [lamppost.FirmwareReading] is told of when it runs what its operator did not list.
func Firmware(path string) (image lamppost.Hash, err error) {
	if path == "" {
		if path, err = os.Executable(); err != nil {
			return image, fmt.Errorf("looking for the running program: %w", err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return image, fmt.Errorf("reading the firmware: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return image, fmt.Errorf("reading the firmware: %w", err)
	}
	return lamppost.Hash(sum.Sum(nil)), nil
}
