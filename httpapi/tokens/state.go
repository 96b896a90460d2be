package tokens

import "time"

// An IssuerState is how one issuer stands.
type IssuerState struct {
	Name, Kind string
	Usable     bool      // tokens can be verified
	Keys       int       // that are known; 0 of an issuer that is asked
	Fetched    time.Time // when the keys were; zero: they never were, or there are none
	Away       time.Time // since when it does not answer; zero: it does, as far as is known
	Error      string    // why it does not answer
}

// Issuers says how the issuers in force stand, in the order of the configuration.
func (v *Verifier) Issuers() []IssuerState {
	set := v.now.Load()
	list := make([]IssuerState, 0, len(set.issuers))
	for _, i := range set.issuers {
		list = append(list, i.state())
	}
	return list
}

func (i *issuer) state() IssuerState {
	s := IssuerState{Name: i.Name, Kind: i.Kind, Usable: i.ready() == nil}
	if i.keys == nil {
		if since := i.away.Load(); since != nil {
			s.Away, s.Error = *since, (*i.failure.Load()).Error()
		}
		return s
	}
	if set := i.keys.now.Load(); set != nil {
		s.Fetched = set.at
		for _, keys := range set.keys {
			s.Keys += len(keys)
		}
	}
	if away := i.keys.away.Load(); away != nil {
		s.Away, s.Error = away.since, away.err.Error()
	}
	return s
}
