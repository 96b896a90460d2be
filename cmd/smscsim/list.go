package main

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"otpgw/smpp/smsc"
)

// printList writes what there is to rehearse as the two tables of docs/simulator.md.
func printList(out io.Writer) {
	profiles := [][]string{{"profile", "what it does"}}
	for _, p := range smsc.Profiles() {
		profiles = append(profiles, []string{p.Name, p.Description})
	}
	printTable(out, profiles)
	fmt.Fprintln(out)
	numbers := [][]string{{"number ends in", "name", "what happens"}}
	for _, b := range smsc.Behaviours() {
		suffix := b.Suffix
		if suffix == "" {
			suffix = "others"
		}
		numbers = append(numbers, []string{suffix, b.Name, b.Description})
	}
	printTable(out, numbers)
}

// printTable writes a table of Markdown whose columns are aligned, but for the last. The first row is its head.
func printTable(out io.Writer, rows [][]string) {
	widths := make([]int, len(rows[0])-1)
	for _, row := range rows {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	for n, row := range rows {
		for i, width := range widths {
			fmt.Fprintf(out, "| %-*s ", width, row[i])
		}
		fmt.Fprintf(out, "| %s |\n", row[len(widths)])
		if n == 0 {
			for _, width := range widths {
				fmt.Fprintf(out, "| %s ", strings.Repeat("-", width))
			}
			fmt.Fprintln(out, "| --- |")
		}
	}
}
