package advise_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/lamppost/lamppost/internal/advise"
)

// The example can be read, and nothing that a fleet can say is missing in it.
func TestExample(t *testing.T) {
	t.Parallel()
	if _, err := advise.ParseFleet([]byte(advise.Example)); err != nil {
		t.Fatal(err)
	}
	for _, shape := range []reflect.Type{reflect.TypeFor[advise.Fleet](), reflect.TypeFor[advise.Class](), reflect.TypeFor[advise.Organisation](), reflect.TypeFor[advise.Needs]()} {
		for i := range shape.NumField() {
			if key := shape.Field(i).Tag.Get("yaml"); !strings.Contains(advise.Example, key+":") {
				t.Errorf("the example says nothing of %s of %s", key, shape.Name())
			}
		}
	}
}
