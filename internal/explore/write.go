package explore

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"path/filepath"
	"strconv"
	"time"

	"github.com/lamppost/lamppost/internal/folder"
)

// Write writes rows.json, rows.csv and report.html into a folder, each as a whole.
func (s *Set) Write(dir string) error {
	raw, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		return err
	}
	table, err := s.CSV()
	if err != nil {
		return err
	}
	page, err := s.HTML()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{rowsFile: string(raw) + "\n", csvFile: table, htmlFile: page} {
		err = errors.Join(err, folder.WriteDurably(filepath.Join(dir, name), text, 0o644))
	}
	return err
}

// CSV is a line for each row, and for each point the spread over its repetitions in the line of each: lowest, middle, highest.
func (s *Set) CSV() (string, error) {
	head := []string{"v", "order", "rep", "seed", "start", "commit", "machine", "cores", "load_1m", "error"}
	for i := range dimensions {
		head = append(head, dimensions[i].key)
	}
	head = append(head, "seconds", "readings_committed", "blocks", "unacknowledged", "exhausted", "syncs_computed")
	for _, m := range Metrics {
		head = append(head, m.Key, m.Key+"_low", m.Key+"_middle", m.Key+"_high")
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	_ = w.Write(head) // to memory
	group := map[Point]*Group{}
	for _, g := range Groups(s.Rows) {
		group[g.Point] = g
	}
	for i := range s.Rows {
		_ = w.Write(record(&s.Rows[i], group[s.Rows[i].Point]))
	}
	w.Flush()
	return b.String(), w.Error()
}

func record(r *Row, g *Group) []string {
	num := func(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
	p := &r.Point
	line := []string{strconv.Itoa(r.V), strconv.Itoa(r.Order), strconv.Itoa(r.Rep), strconv.FormatUint(r.Seed, 10), r.Start.Format(time.RFC3339Nano), r.Commit, r.Machine,
		strconv.Itoa(r.Cores), num(r.Load), r.Error, p.Engine, strconv.Itoa(p.Nodes), strconv.Itoa(p.Devices), strconv.Itoa(p.Rate), strconv.Itoa(p.Readings), p.Suites, p.Verify,
		num(p.LingerMS), strconv.Itoa(p.Segment), num(p.RTTMS), num(p.Loss), p.Fault,
		num(r.Seconds), strconv.FormatInt(r.Committed, 10), strconv.FormatInt(r.Blocks, 10), strconv.FormatInt(r.Lost, 10), strconv.FormatBool(r.Exhausted), num(r.SyncsComp)}
	for i := range Metrics {
		if r.Error != "" {
			line = append(line, "", "", "", "")
			continue
		}
		spread := g.Spread(&Metrics[i])
		line = append(line, num(Metrics[i].of(r)), num(spread.Low), num(spread.Mid), num(spread.High))
	}
	return line
}
