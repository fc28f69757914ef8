package shadow_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/shadow"
)

const (
	begin lamppost.TimeMS = 1_793_491_200_000 // 2026-11-01
	end   lamppost.TimeMS = 1_796_083_200_000 // 2026-12-01
)

// ours are an invoice of two points, which corrected another, and one of one point: 100 kWh at 0.30 each.
func ours() []shadow.Invoice {
	point := func(id string) shadow.Point {
		return shadow.Point{Point: id, Quantity: lamppost.Dec(100_000, -3), Net: 30_000_000, Lines: 2}
	}
	return []shadow.Invoice{
		{Number: "w-3", Numbers: []string{"w-3", "w-1"}, Buyer: "ada", From: begin, To: end, Points: []shadow.Point{point("a1"), point("a2")}, Net: 60_000_000, Tax: 11_400_000, Total: 71_400_000},
		{Number: "w-2", Numbers: []string{"w-2"}, Buyer: "bob", From: begin, To: end, Points: []shadow.Point{point("b")}, Net: 30_000_000, Tax: 5_700_000, Total: 35_700_000},
	}
}

// Each kind of difference is named by its cause, once, and nothing is lost.
func TestCompare(t *testing.T) {
	t.Parallel()
	const ada = "w-3,,,,,200,60,11.40,71.40\n"
	for _, c := range []struct{ rows, want string }{
		{ada + "w-2,,,,,100,30.00,5.70,35.70\n", "2 alike"},
		{"w-1,,,,,200,60,11.40,71.40\n,bob,b,2026-11-01,2026-12-01,100.0,30.00,5.70,35.70\n", "2 alike"},
		{",ada,a1,,,100,30,,\n,ada,a2,,,100,30,,\n,bob,,,,,,,35.70\n", "3 alike"},
		{ada, "missing there w-2 35.70//35.70, 1 alike"},
		{ada + "w-2,,,,,,,,35.70\nx-9,,,,,,,,12\n", "missing here x-9 /12.00/-12.00, 2 alike"},
		{ada + "w-2,,,,,101,30.30,5.76,36.06\n", "quantity w-2 100.000/101/-0.36, 1 alike"},
		{ada + "w-2,,,,,100,31,5.89,36.89\n", "price w-2 30.00/31.00/-1.19, 1 alike"},
		{ada + "w-2,,,,,100,30.02,5.70,35.72\n", "rounding w-2 30.00/30.02/-0.02, 1 alike"},
		{ada + "w-2,,,,,100,30,2.10,32.10\n", "tax w-2 5.70/2.10/3.60, 1 alike"},
		{ada + "w-2,,,,,100,30,5.71,35.71\n", "rounding w-2 5.70/5.71/-0.01, 1 alike"},
		{ada + "w-2,,,,,100,30,5.70,35.80\n", "sum w-2 35.70/35.80/-0.10, 1 alike"},
		{ada + "w-2,,,,,,30,,33\n", "tax w-2 35.70/33.00/2.70, 1 alike"},
		{ada + "w-2,,,,,,,,33\n", "price w-2 35.70/33.00/2.70, 1 alike"},
		{ada + ",bob,b,2026-11-02,2026-12-01,97,29,5.51,34.51\n", "period w-2 2026-11-01T00:00Z to 2026-12-01T00:00Z/2026-11-02T00:00Z to 2026-12-01T00:00Z/1.19, 1 alike"},
		{ada + ",bob,b,2026-12-01,2027-01-01,97,29,5.51,34.51\n", "missing there w-2 35.70//35.70, missing here  /34.51/-34.51, 1 alike"},
	} {
		rows, err := shadow.Read(strings.NewReader("number,party,point,from,to,quantity,net,tax,total\n"+c.rows), strings.TrimSpace, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		res := shadow.Compare(ours(), rows)
		var got []string
		for _, d := range res.Differences {
			got = append(got, fmt.Sprintf("%s %s %s/%s/%s", d.Cause, d.Number, d.Here, d.There, d.Delta))
		}
		if text := strings.Join(append(got, fmt.Sprintf("%d alike", res.Alike)), ", "); text != c.want {
			t.Errorf("%q:\n got %s\nwant %s", c.rows, text, c.want)
		}
	}
}

// A file that cannot be compared says where.
func TestRead(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                      "line 1: no header of columns: EOF",
		"number,colour\n":                       `column "colour" is not one of number, party`,
		"net,total\n":                           "neither column number nor party",
		"number,net\n1,2\n,3\n":                 "line 3: neither a number nor a party",
		"\ufeffNumber;Net\n1;2,5\n":             "line 2: column net",
		"party,from\nada,1.11.\n":               `line 2: column from: "1.11." is neither a date`,
		"number,net\n1\n":                       "wrong number of fields",
		"party,from\nada,2026-11-01\n":          "",
		"number;quantity\nw-1;100.5\nw-2;7\n":   "",
		"number,from\n1,2026-11-01T00:00:00Z\n": "",
	} {
		_, err := shadow.Read(strings.NewReader(text), strings.TrimSpace, time.UTC)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// Whatever a file says, reading and comparing it does not panic, and each row is alike or differs once.
func FuzzCompare(f *testing.F) {
	f.Add("number,net\nw-1,60\n")
	f.Add("party;from;to;total\nada;2026-11-01;2026-12-01;71.4\n")
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := shadow.Read(strings.NewReader(text), strings.TrimSpace, time.UTC)
		if err != nil {
			return
		}
		res := shadow.Compare(ours(), rows)
		if differ := len(res.Differences) - res.ByCause[shadow.MissingThere]; res.Alike+differ != len(rows) {
			t.Fatalf("%d rows, %d alike, %d differ", len(rows), res.Alike, differ)
		}
	})
}
