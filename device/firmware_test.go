package device_test

import (
	"crypto/sha256"
	"os"
	"path/filepath"
	"testing"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/device"
)

// TestFirmware: the image of a file, or of the program that runs, is its SHA-256, and its first 60 bits travel as a reading.
func TestFirmware(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	image, err := device.Firmware(path)
	if err != nil || image != sha256.Sum256([]byte("abc")) {
		t.Errorf("%s, %v", image, err)
	}
	// ba7816bf 8f01cfea …: FIPS 180-4, first example
	r := lamppost.FirmwareReading(image, 5)
	if r.Name != "firmware" || r.Kind != lamppost.Gauge || r.Time != 5 || r.Value != lamppost.Dec(0xba7816bf8f01cfe, 0) {
		t.Errorf("%+v", r)
	}
	if own, err := device.Firmware(""); err != nil || own.IsZero() || own == image {
		t.Errorf("of the running program: %s, %v", own, err)
	}
	if _, err := device.Firmware(path + "x"); err == nil {
		t.Error("a file that is not there has an image")
	}
}
