package measure

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/lamppost/lamppost/internal/triage/behave"
)

// An nslRecord is a connection in a network, by what was seen of it.
type nslRecord struct {
	values []uint16 // bins, by column
	attack string   // empty: it is normal
}

var nslClasses = []string{"denial of service", "probe", "access from outside", "rise in rights"}

// nslAttacks are the classes of attacks, as the data's authors sort them (Tavallaee et al. 2009).
var nslAttacks = func() map[string]string {
	all := map[string]string{}
	for i, names := range []string{
		"apache2 back land mailbomb neptune pod processtable smurf teardrop udpstorm worm",
		"ipsweep mscan nmap portsweep saint satan",
		"ftp_write guess_passwd httptunnel imap multihop named phf sendmail snmpgetattack snmpguess spy warezclient warezmaster xlock xsnoop",
		"buffer_overflow loadmodule perl ps rootkit sqlattack xterm",
	} {
		for _, name := range strings.Fields(names) {
			all[name] = nslClasses[i]
		}
	}
	return all
}()

func (x *nslRecord) class() string { return nslAttacks[x.attack] }

// The columns of NSL-KDD. Three are words; the service and the flag are the context of all the others.
const (
	nslColumns  = 41
	nslProtocol = 1
	nslService  = 2
	nslFlag     = 3

	nslWords = 96 // of a column; the last is every other one
	nslBins  = 44
)

// An nslSet is NSL-KDD, and what its records are made of.
type nslSet struct {
	training          string
	train, test, hard []nslRecord
	columns           []int
	features          []behave.Feature
	words             [nslColumns]map[string]uint16 // as they are met, in training
}

// readNSL reads NSL-KDD from the folder of data sets. Where the whole training file is not there, its first fifth does.
func readNSL(sets string) (*nslSet, error) {
	s := &nslSet{training: "KDDTrain+"}
	for c := range nslColumns {
		bins := nslBins
		if c >= nslProtocol && c <= nslFlag {
			bins, s.words[c] = nslWords, map[string]uint16{}
		}
		s.columns = append(s.columns, bins)
	}
	s.features = nslFeatures()
	root := filepath.Join(sets, "nsl-kdd")
	var err error
	if s.train, err = s.read(filepath.Join(root, "KDDTrain+.txt"), true); errors.Is(err, fs.ErrNotExist) {
		s.training = "KDDTrain+_20Percent"
		s.train, err = s.read(filepath.Join(root, s.training+".txt"), true)
	}
	if err == nil {
		s.test, err = s.read(filepath.Join(root, "KDDTest+.txt"), false)
	}
	if err != nil {
		return nil, fmt.Errorf("reading NSL-KDD (unb.ca/cic/datasets/nsl.html; its text files belong in %q): %w", root, err)
	}
	if s.hard, err = s.read(filepath.Join(root, "KDDTest-21.txt"), false); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("reading NSL-KDD: %w", err)
	}
	return s, nil
}

// nslFeatures are all columns by themselves, by service, and by flag.
func nslFeatures() []behave.Feature {
	var all []behave.Feature
	for _, given := range []int{behave.Alone, nslService, nslFlag} {
		for c := range nslColumns {
			if given == behave.Alone || c != nslFlag && c != nslService || c == nslFlag && given == nslService {
				all = append(all, behave.Feature{Code: strconv.Itoa(c), Column: c, Given: given})
			}
		}
	}
	return all
}

// read reads the rows of a file. New words are taken in from training only.
func (s *nslSet) read(path string, training bool) ([]nslRecord, error) {
	in, err := openPlainOrGzip(path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	var all []nslRecord
	for lines := bufio.NewScanner(in); lines.Scan(); {
		cells := strings.Split(strings.TrimSpace(lines.Text()), ",")
		if len(cells) < nslColumns+1 {
			return nil, fmt.Errorf("%q, row %d: %d cells", path, len(all), len(cells))
		}
		x := nslRecord{values: make([]uint16, nslColumns)}
		if x.attack = cells[nslColumns]; x.attack == "normal" {
			x.attack = ""
		}
		for c := range nslColumns {
			if x.values[c], err = s.bin(c, cells[c], training); err != nil {
				return nil, fmt.Errorf("%q, row %d: %w", path, len(all), err)
			}
		}
		all = append(all, x)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%q has no rows", path)
	}
	return all, nil
}

// bin is a word's number, a tenth of a rate, or the octave of a count.
func (s *nslSet) bin(column int, cell string, training bool) (uint16, error) {
	if words := s.words[column]; words != nil {
		bin, known := words[cell]
		if !known {
			if bin = nslWords - 1; training && len(words) < nslWords-1 {
				bin = uint16(len(words))
				words[cell] = bin
			}
		}
		return bin, nil
	}
	x, err := strconv.ParseFloat(cell, 64)
	switch {
	case err != nil || x < 0 || x > math.MaxInt64:
		return 0, fmt.Errorf("%q is no count or rate", cell)
	case x == 0:
		return 0, nil
	case x <= 1:
		return 1 + uint16(math.Round(100*x))/10, nil
	}
	return 10 + behave.Octave(uint64(x), nslBins-10), nil
}
