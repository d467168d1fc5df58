// Licensed to Elasticsearch B.V. under one or more agreements.
// Elasticsearch B.V. licenses this file to you under the Apache 2.0 License.
// See the LICENSE file in the project root for more information.

package settings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Fault is one setting that cannot be used, and what to do about it.
type Fault struct {
	// Place is where it was written: a key below settings, a variable.
	Place           string
	Problem, Remedy string
}

func (f Fault) String() string { return f.Place + ": " + f.Problem + "; " + f.Remedy }

func faultOf(place, value string, bad *misuse) Fault {
	return Fault{place, strconv.Quote(value) + " " + bad.problem, bad.remedy}
}

// Read takes the settings from an agent's policy, where keys are nested or
// joined by dots. Which are not there have their default; a faulty one keeps
// the value that it has in inForce. Faults are in the order of their places.
func Read(inForce Values, policy map[string]any) (Values, []Fault) {
	return read(table, inForce, policy)
}

func read(rows []Setting, inForce Values, policy map[string]any) (Values, []Fault) {
	values := defaults(rows)
	keepNode(rows, &values, &inForce)
	var faults []Fault
	for key, value := range flatten("", policy) {
		s, fault := find(rows, key)
		if fault == nil {
			fault = s.take(&values, value)
		}
		if fault == nil {
			continue
		}
		faults = append(faults, *fault)
		if s != nil {
			s.copy(&values, &inForce)
		}
	}
	slices.SortFunc(faults, func(a, b Fault) int { return strings.Compare(a.Place, b.Place) })
	return values, faults
}

// keepNode leaves alone what no policy can change.
func keepNode(rows []Setting, to, from *Values) {
	for _, s := range rows {
		if s.Node {
			s.copy(to, from)
		}
	}
}

func (s *Setting) copy(to, from *Values) {
	if bad := s.set(to, s.text(from)); bad != nil {
		panic("settings: " + s.Key + " cannot be read as it is printed: it " + bad.problem)
	}
}

func find(rows []Setting, key string) (*Setting, *Fault) {
	place := "settings." + key
	var known []string
	for _, s := range rows {
		switch {
		case s.Reader == "":
			if s.Key == key {
				return nil, &Fault{place, "this version does not have the setting yet", "remove it"}
			}
		case s.Node && s.Key == key:
			return nil, &Fault{place, "belongs to the node, not to a policy", "set " + s.env() + " in the environment of Elastic Agent"}
		case s.Key == key:
			return &s, nil
		case !s.Node:
			known = append(known, s.Key)
		}
	}
	remedy := "remove it"
	if len(known) > 0 {
		remedy = "the settings are " + strings.Join(known, ", ")
	}
	return nil, &Fault{place, "unknown setting", remedy}
}

// take reads a value of the agent's structure. Null stands for the default:
// templates write it where the user wrote nothing.
func (s *Setting) take(v *Values, value any) *Fault {
	var text string
	switch value := value.(type) {
	case nil:
		return nil
	case bool:
		text = strconv.FormatBool(value)
	case float64:
		text = strconv.FormatFloat(value, 'f', -1, 64)
	case string:
		text = value
	default:
		return &Fault{"settings." + s.Key, "is a list", "write one value"}
	}
	if bad := s.set(v, text); bad != nil {
		fault := faultOf("settings."+s.Key, text, bad)
		return &fault
	}
	return nil
}

// flatten joins nested keys by dots.
func flatten(prefix string, m map[string]any) map[string]any {
	flat := map[string]any{}
	for key, value := range m {
		nested, ok := value.(map[string]any)
		if !ok {
			flat[prefix+key] = value
			continue
		}
		for k, v := range flatten(prefix+key+".", nested) {
			flat[k] = v
		}
	}
	return flat
}

// env is the environment variable that sets it.
func (s *Setting) env() string {
	return "CLOUD_DEFEND_" + strings.ToUpper(strings.ReplaceAll(s.Key, ".", "_"))
}

// Environ takes over what the environment sets. lookup is os.LookupEnv.
func Environ(v *Values, lookup func(string) (string, bool)) []Fault { return environ(table, v, lookup) }

func environ(rows []Setting, v *Values, lookup func(string) (string, bool)) []Fault {
	var faults []Fault
	for _, s := range ready(rows) {
		for _, name := range []string{s.Env, s.env()} { // ours last: it wins
			text, set := lookup(name)
			if !set || name == "" {
				continue
			}
			if bad := s.set(v, text); bad != nil {
				faults = append(faults, faultOf(name, text, bad))
			}
		}
	}
	return faults
}

// Flag is a flag of cloud-defend run. It is a pflag.Value.
type Flag struct {
	Name, Usage string
	setting     Setting
	values      *Values
}

// Flags makes flags that set v. Their defaults are what v has now.
func Flags(v *Values) []*Flag { return flags(table, v) }

func flags(rows []Setting, v *Values) []*Flag {
	var all []*Flag
	for _, s := range ready(rows) {
		if s.Managed {
			continue
		}
		name := strings.NewReplacer(".", "-", "_", "-").Replace(s.Key)
		first, rest := s.Doc[:1], strings.TrimSuffix(s.Doc[1:], ".")
		usage := fmt.Sprintf("%s%s [%s]", strings.ToLower(first), rest, s.env())
		all = append(all, &Flag{Name: name, Usage: usage, setting: s, values: v})
	}
	return all
}

func (f *Flag) String() string { return f.setting.text(f.values) }

// Set reads what stands on the command line.
func (f *Flag) Set(text string) error {
	if bad := f.setting.set(f.values, text); bad != nil {
		return fmt.Errorf("%s; %s", bad.problem, bad.remedy)
	}
	return nil
}

// Type is shown in the help.
func (f *Flag) Type() string { return f.setting.kind() }

// IsBoolFlag lets a flag stand without a value.
func (f *Flag) IsBoolFlag() bool { return f.Type() == "bool" }
