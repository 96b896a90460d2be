// Packaging tells what a built program is made of, from what the Go linker wrote into it: a bill of materials as CycloneDX, and the
// licences of all modules with their texts. "make dist" runs it; the rest of this directory is what the packages hold.
package main

import (
	"cmp"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

func main() {
	version := flag.String("version", "unversioned", "version of the program")
	bill := flag.String("bill", "", "`file` for the bill of materials, CycloneDX 1.6 in JSON")
	licences := flag.String("licences", "", "`file` for the licences")
	flag.Parse()
	if err := run(flag.Args(), *version, *bill, *licences); err != nil {
		fmt.Fprintln(os.Stderr, "packaging:", err)
		os.Exit(1)
	}
}

func run(args []string, version, billFile, licenceFile string) error {
	if len(args) != 1 || billFile == "" || licenceFile == "" {
		return errors.New("usage: packaging --version VERSION --bill FILE --licences FILE PROGRAM")
	}
	info, err := buildinfo.ReadFile(args[0])
	if err != nil {
		return err
	}
	modules, err := modulesOf(info)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(newBill(filepath.Base(args[0]), version, info, modules), "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(billFile, append(text, '\n'), 0o644); err != nil {
		return err
	}
	var list strings.Builder
	writeLicences(&list, filepath.Base(args[0]), modules)
	return os.WriteFile(licenceFile, []byte(list.String()), 0o644)
}

// A module is one that was linked in, with its licence.
type module struct {
	path, version, sum string
	licence            string // SPDX identifier
	texts              []text
}

type text struct{ name, content string }

// modulesOf are the modules of a program, Go's library among them as "std", by path. Each has a licence that is known.
func modulesOf(info *debug.BuildInfo) ([]module, error) {
	goroot, err := output("go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	std, err := newModule("std", info.GoVersion, "", goroot)
	if err != nil {
		return nil, err
	}
	list := []string{"list", "-m", "-f", "{{.Dir}}"}
	for _, d := range info.Deps {
		list = append(list, d.Path)
	}
	out, err := output("go", list...)
	if err != nil {
		return nil, err
	}
	dirs := strings.Split(out, "\n")
	if len(dirs) != len(info.Deps) {
		return nil, fmt.Errorf("%d directories of %d modules: run go mod download", len(dirs), len(info.Deps))
	}
	modules := []module{std}
	for i, d := range info.Deps {
		d = cmp.Or(d.Replace, d)
		m, err := newModule(d.Path, d.Version, d.Sum, dirs[i])
		if err != nil {
			return nil, err
		}
		modules = append(modules, m)
	}
	slices.SortFunc(modules, func(a, b module) int { return cmp.Compare(a.path, b.path) })
	return modules, nil
}

func output(name string, args ...string) (string, error) {
	out, err := exec.Command(name, args...).Output()
	if failed := new(exec.ExitError); errors.As(err, &failed) {
		return "", fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, failed.Stderr)
	}
	return strings.TrimSpace(string(out)), err
}

// What lies in the root of a module and has to go wherever the program goes.
var legal = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// sure is the share of a text, in percent, that has to be that of a licence.
const sure = 75

func newModule(path, version, sum, dir string) (module, error) {
	m := module{path: path, version: version, sum: sum}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return m, fmt.Errorf("%s: %w", path, err)
	}
	for _, e := range entries {
		if e.IsDir() || !legal.MatchString(e.Name()) {
			continue
		}
		content, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return m, err
		}
		m.texts = append(m.texts, text{e.Name(), strings.TrimSpace(strings.ReplaceAll(string(content), "\r\n", "\n"))})
		if found := licensecheck.Scan(content); m.licence == "" && found.Percent >= sure && len(found.Match) > 0 {
			m.licence = found.Match[0].ID
		}
	}
	if m.licence == "" {
		return m, fmt.Errorf("%s %s: no licence that is known in %s", path, version, dir)
	}
	return m, nil
}

// The part of CycloneDX 1.6 that is said.
type (
	bill struct {
		Format       string       `json:"bomFormat"`
		Spec         string       `json:"specVersion"`
		Version      int          `json:"version"`
		Metadata     metadata     `json:"metadata"`
		Components   []component  `json:"components"`
		Dependencies []dependency `json:"dependencies"`
	}
	metadata struct {
		Component component `json:"component"`
	}
	component struct {
		Type       string     `json:"type"`
		Ref        string     `json:"bom-ref"`
		Name       string     `json:"name"`
		Version    string     `json:"version"`
		PURL       string     `json:"purl,omitempty"`
		Licences   []licence  `json:"licenses,omitempty"`
		Properties []property `json:"properties,omitempty"`
	}
	licence struct {
		Licence struct {
			ID string `json:"id"`
		} `json:"license"`
	}
	property struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	dependency struct {
		Ref       string   `json:"ref"`
		DependsOn []string `json:"dependsOn"`
	}
)

// newBill has neither time nor serial number: the same program has the same bill.
func newBill(name, version string, info *debug.BuildInfo, modules []module) bill {
	b := bill{Format: "CycloneDX", Spec: "1.6", Version: 1}
	b.Metadata.Component = component{Type: "application", Ref: name, Name: name, Version: version}
	for _, s := range info.Settings {
		b.Metadata.Component.Properties = append(b.Metadata.Component.Properties, property{"go:build:" + s.Key, s.Value})
	}
	all := dependency{Ref: name, DependsOn: []string{}}
	for _, m := range modules {
		c := component{Type: "library", Name: m.path, Version: m.version, PURL: "pkg:golang/" + m.path + "@" + m.version}
		c.Ref = c.PURL
		var l licence
		l.Licence.ID = m.licence
		c.Licences = []licence{l}
		if m.sum != "" {
			c.Properties = []property{{"go:sum", m.sum}}
		}
		b.Components = append(b.Components, c)
		all.DependsOn = append(all.DependsOn, c.Ref)
	}
	b.Dependencies = []dependency{all}
	return b
}

// writeLicences lists the modules and their licences, and then every text once with the modules that it is of.
func writeLicences(w io.Writer, name string, modules []module) {
	fmt.Fprintf(w, "%s is linked with these modules:\n\n", name)
	of := map[string][]string{}
	var order []string
	for _, m := range modules {
		fmt.Fprintf(w, "%-60s %-40s %s\n", m.path, m.version, m.licence)
		for _, t := range m.texts {
			if of[t.content] == nil {
				order = append(order, t.content)
			}
			of[t.content] = append(of[t.content], m.path+" "+t.name)
		}
	}
	for _, content := range order {
		fmt.Fprintf(w, "\n%s\n%s\n\n%s\n", strings.Repeat("=", 80), strings.Join(of[content], "\n"), content)
	}
}
