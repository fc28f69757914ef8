package masterdata_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/lamppost/lamppost"
	"github.com/lamppost/lamppost/internal/masterdata"
)

// read returns a file's rows: "line id json", or "line: error".
func read(t testing.TB, typ lamppost.TxType, text string) (all []string) {
	t.Helper()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	f, err := masterdata.Open(typ, strings.NewReader(text), berlin)
	if err != nil {
		return []string{err.Error()}
	}
	for {
		row, err := f.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			return append(all, err.Error())
		}
		if row.Err != nil {
			all = append(all, row.ID+": "+row.Err.Error())
		} else {
			all = append(all, row.ID+" "+string(row.Order.Body))
		}
	}
}

// What rows come to, and how those are named that come to nothing.
func TestRows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ        lamppost.TxType
		text, want string
	}{
		{lamppost.TxParty, "name,id\nAda,ada\n", `ada {"id":"ada","name":"Ada","credit_limit":"0.00"}`},
		{lamppost.TxParty, "\ufeffID;Name;credit_limit\n4711/3;\"Bob; Ltd\";12,5\n", `4711_2f3: column credit_limit: "12,5" is not an amount of money`},
		{lamppost.TxParty, "id,name\n\nada\nada,Ada\nada,Ann\n,Eve\n", ": 1 columns, where the header has 2\n" +
			`ada {"id":"ada","name":"Ada","credit_limit":"0.00"}` + "\nada: line 4 has party ada already\n: column id: is empty"},
		{lamppost.TxParty, "id,name\n\"ada\"x,Ada\nbob,Bob\n", ": extraneous or missing \" in quoted-field\n" + `bob {"id":"bob","name":"Bob","credit_limit":"0.00"}`},
		{lamppost.TxParty, "id,name,colour\n", `line 1: column "colour" is not one of id, name, credit_limit`},
		{lamppost.TxParty, "id\n", `line 1: column "name" is missing; needed are id, name`},
		{lamppost.TxParty, "id,name,id\n", `line 1: column "id" is there twice`},
		{lamppost.TxParty, "", "line 1: no header of columns: EOF"},
		{lamppost.TxParty, "id,name\nada," + strings.Repeat("x", 70<<10), "a line of more than 65536 bytes: is this CSV?"},
		{lamppost.TxDevice, "id,owner,key\nm1,ada,AB\n", `m1 {"id":"m1","owner":"ada","name":"","site":"","safety":"","suite":"ed25519","key":"ab"}`},
		{lamppost.TxPoint, "id,device,rolls_at,sessions\np,m1,1000000,yes\n",
			`p {"id":"p","device":"m1","register":"energy","unit":"Wh","rolls_at":"1000000","sessions":true}`},
		{lamppost.TxPoint, "id,device,sessions\np,m1,maybe\n", `p: column sessions: "maybe" is neither yes nor no`},
		{lamppost.TxAgreement, "seller,buyer,point,tariff,from\nacme,ada,p 1,home,2026-11-01\n",
			`p_201 {"id":"p_201","seller":"acme","buyer":"ada","point":"p_201","tariff":"home","from_ms":1793487600000}`},
		{lamppost.TxAgreement, "seller,buyer,point,tariff,from\nacme,ada,p,home,1.11.2026\n",
			`p: column from: "1.11.2026" is neither a date like 2026-11-01 nor an instant like 2026-11-01T06:30:00+01:00, after 1970`},
		{lamppost.TxReading, "device,time,value\nm1,2026-11-01T00:00:00Z,1234.5\n", `m1 energy at 2026-11-01T00:00:00Z {"device":"m1","register":"energy","unit":"Wh",` +
			`"time_ms":1793491200000,"value":"1234.5","quality":1,"reason":"opening reading of the system before"}`},
		{lamppost.TxReading, "device,time,value,quality\nm1,2026-11-01,1,measured\n",
			`m1 energy at 2026-10-31T23:00:00Z: column quality: "measured": a value entered by hand is estimated or substituted`},
	} {
		got := strings.Join(read(t, c.typ, c.text), "\n")
		if got != c.want {
			t.Errorf("%s %q:\n got %s\nwant %s", c.typ, c.text, got, c.want)
		}
	}
}

// A tariff of one price carries its zone's clock changes and is valid.
func TestTariffRow(t *testing.T) {
	t.Parallel()
	rows := read(t, lamppost.TxTariff, "id,seller,currency,from,price,tax_percent\nhome,acme,EUR,2026-01-01,0.32,19\n")
	if len(rows) != 1 || !strings.Contains(rows[0], `"price":"0.32"`) || !strings.Contains(rows[0], `"basis_points":1900`) ||
		strings.Count(rows[0], "at_ms") < 10 {
		t.Errorf("got %s", rows)
	}
}

// Names are kept, and what is none becomes one.
func TestName(t *testing.T) {
	t.Parallel()
	for external, want := range map[string]string{"flat_3": "flat_3", "DE-1.2": "DE-1.2", "4711/3": "4711_2f3", "/x": "x_2fx", "ä": "x_c3_a4"} {
		if got := masterdata.Name(external); got != want || lamppost.CheckName("", got) != nil {
			t.Errorf("%q is named %q, not %q", external, got, want)
		}
	}
}

// Whatever stands in a file: no panic, and every row is an order or a reason.
func FuzzRows(f *testing.F) {
	f.Add("id,name,credit_limit\nada,Ada,1\n\"x")
	f.Add("device,time,value\nm1,2026-11-01,1\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, typ := range masterdata.Kinds() {
			file, err := masterdata.Open(typ, strings.NewReader(text), time.UTC)
			for err == nil {
				var row masterdata.Row
				if row, err = file.Next(); err == nil && (row.Err == nil) == (len(row.Order.Body) == 0) {
					t.Fatalf("neither an order nor a reason: %+v", row)
				}
			}
		}
	})
}
