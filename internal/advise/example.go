package advise

import _ "embed"

// Example is a fleet's file with everything that can stand in one.
//
//go:embed example.yaml
var Example string
