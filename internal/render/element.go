package render

import (
	"bytes"
	"encoding/xml"
	"strings"
)

// An element is a node of an XML document, its name with the prefix. The standard library's encoder would repeat each
// namespace on each element.
type element struct {
	name       string
	attributes []string // names and values, in turn
	text       string
	children   []*element
}

// leaf makes an element with text; without text there is none.
func leaf(name, text string, attributes ...string) *element {
	if text == "" {
		return nil
	}
	return &element{name: name, text: text, attributes: attributes}
}

// node makes an element with children. One without children is not written.
func node(name string, children ...*element) *element {
	return (&element{name: name}).add(children...)
}

func (e *element) add(children ...*element) *element {
	for _, c := range children {
		if c != nil && (c.text != "" || len(c.children) > 0) {
			e.children = append(e.children, c)
		}
	}
	return e
}

func (e *element) write() []byte {
	var b bytes.Buffer
	b.WriteString(xml.Header)
	e.writeTo(&b, 0)
	return b.Bytes()
}

func (e *element) writeTo(b *bytes.Buffer, depth int) {
	indent := strings.Repeat("  ", depth)
	b.WriteString(indent + "<" + e.name)
	for i := 0; i+1 < len(e.attributes); i += 2 {
		b.WriteString(" " + e.attributes[i] + `="`)
		escape(b, e.attributes[i+1])
		b.WriteString(`"`)
	}
	b.WriteString(">")
	escape(b, e.text)
	if len(e.children) > 0 {
		b.WriteString("\n")
		for _, c := range e.children {
			c.writeTo(b, depth+1)
		}
		b.WriteString(indent)
	}
	b.WriteString("</" + e.name + ">\n")
}

func escape(b *bytes.Buffer, s string) {
	_ = xml.EscapeText(b, []byte(s)) // to memory
}
