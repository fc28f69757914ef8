package advise

import (
	"fmt"
	"os"
	"testing"
)

func TestShow(t *testing.T) {
	m, err := Shipped()
	if err != nil {
		t.Fatal(err)
	}
	a, err := Advise(readFleet(t, os.Getenv("FLEET")), m)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(a.Text())
}
