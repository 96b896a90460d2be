package smpp

import (
	"time"

	"otpgw/config/secret"
)

// A Config is one account on one SMSC.
type Config struct {
	Name          string        `toml:"name" comment:"Name of this account in logs, metrics and records: 1 to 32 of a-z, 0-9, - and _, a letter or digit first. Changing it orphans the receipts still expected." reload:"hot"`
	Tier          int           `toml:"tier" comment:"1 to 9. A message goes to the accounts of the lowest tier that is up; the others are backup." reload:"hot"`
	Weight        int           `toml:"weight" comment:"Share of the messages in its tier, 1 to 100, where all accounts answer equally fast." reload:"hot"`
	FailoverAfter time.Duration `toml:"failover_after" comment:"How long the account may be down until its messages go to the next, and how long it must be up again before they come back, 0s to 1m." reload:"hot"`
	Prefixes      []string      `toml:"prefixes" comment:"Beginnings of the numbers that this account serves, such as \"+346\"; of accounts of one tier the longest that matches wins. Empty: all." reload:"hot"`
	Clients       []string      `toml:"clients" comment:"Ids of the clients that this account serves. Empty: all." reload:"hot"`
	Senders       []string      `toml:"senders" comment:"Senders that this account serves. Empty: all." reload:"hot"`

	Endpoints      []string `toml:"endpoints" comment:"Hosts and ports of the SMSC, host:port, at most 16. Binds are spread over them, and go on to the next one when one fails." reload:"hot"`
	TLS            bool     `toml:"tls" comment:"Connect with TLS 1.2 or later." reload:"hot"`
	TLSCA          string   `toml:"tls_ca" comment:"PEM file of the certificate authorities that may sign the SMSC's certificate. Empty: those of the system." reload:"hot"`
	TLSServerName  string   `toml:"tls_server_name" comment:"Name that the SMSC's certificate must have. Empty: the host of the endpoint." reload:"hot"`
	TLSCert        string   `toml:"tls_cert" comment:"PEM file of the certificate that we show to the SMSC. Empty: none." reload:"hot"`
	TLSKey         string   `toml:"tls_key" comment:"PEM file of the private key of tls_cert." reload:"hot"`
	AllowPlaintext bool     `toml:"allow_plaintext" comment:"Send password and texts in clear to an address that is not known to be private. Only for a link that is protected by other means." reload:"hot"`

	SystemID         string      `toml:"system_id" comment:"system_id of the bind, at most 15 ASCII characters." reload:"hot"`
	Password         secret.Text `toml:"password" comment:"Password of the bind as file:PATH, cred:NAME or env:NAME, at most 8 ASCII characters." reload:"hot"`
	SystemType       string      `toml:"system_type" comment:"system_type of the bind, at most 12 ASCII characters. Most SMSCs want none." reload:"hot"`
	InterfaceVersion int         `toml:"interface_version" comment:"interface_version of the bind: 51, 52 or 80 for SMPP 3.3, 3.4 or 5.0. Without the optional parameters of 3.4 for 3.3." reload:"hot"`
	BindTON          int         `toml:"bind_ton" comment:"addr_ton of the bind, 0 to 255 (Kannel: bind-addr-ton). Most SMSCs want 0." reload:"hot"`
	BindNPI          int         `toml:"bind_npi" comment:"addr_npi of the bind, 0 to 255 (Kannel: bind-addr-npi). Most SMSCs want 0." reload:"hot"`
	AddressRange     string      `toml:"address_range" comment:"address_range of the bind, at most 40 ASCII characters. Most SMSCs want none." reload:"hot"`
	Binds            int         `toml:"binds" comment:"Transceiver binds kept up at once, 0 to 16. The SMSC must allow as many for the account." reload:"hot"`
	Transmitters     int         `toml:"transmitters" comment:"Transmitter binds kept up at once, 0 to 16, for an SMSC without transceivers." reload:"hot"`
	Receivers        int         `toml:"receivers" comment:"Receiver binds kept up at once, 0 to 16. Receipts come over these." reload:"hot"`
	OutbindListen    string      `toml:"outbind_listen" comment:"host:port on which the SMSC may connect and send outbind; it gets a receiver bind. Empty: none." reload:"hot"`
	OutbindPassword  secret.Text `toml:"outbind_password" comment:"Password that the SMSC's outbind must bring, as file:PATH, cred:NAME or env:NAME. Needed with outbind_listen: whoever sends outbind is shown our own." reload:"hot"`

	Window int     `toml:"window" comment:"Messages that may wait for their answer on one bind, 1 to 1000 (Kannel: max-pending-submits)." reload:"hot"`
	Rate   float64 `toml:"rate" comment:"Short messages a second for the account, all binds together, 0.01 to 100000. 0: no limit (Kannel: throughput)." reload:"hot"`

	ConnectTimeout      time.Duration `toml:"connect_timeout" comment:"Longest wait for a connection, TLS included, 100ms to 1m." reload:"hot"`
	BindTimeout         time.Duration `toml:"bind_timeout" comment:"Longest wait for the answer to a bind, 100ms to 2m." reload:"hot"`
	PDUReadTimeout      time.Duration `toml:"pdu_read_timeout" comment:"Longest time from the first octet of a PDU to its last, 100ms to 1m." reload:"hot"`
	ResponseTimeout     time.Duration `toml:"response_timeout" comment:"Longest wait for the answer to a message or an enquire_link, 100ms to 2m (Kannel: wait-ack). After it a message's outcome is unknown." reload:"hot"`
	EnquireLinkInterval time.Duration `toml:"enquire_link_interval" comment:"Silence of the SMSC after which it is asked for a sign of life, 1s to 10m. Two questions without an answer end the bind." reload:"hot"`
	WriteTimeout        time.Duration `toml:"write_timeout" comment:"Longest time that the SMSC may take to read what is sent, 100ms to 1m." reload:"hot"`
	DrainTimeout        time.Duration `toml:"drain_timeout" comment:"Longest wait at the end for answers to messages in flight and for receipts in work, 0s to 1m." reload:"hot"`
	ReconnectMin        time.Duration `toml:"reconnect_min" comment:"Upper end of the first random wait before a bind is tried again, 10ms to 1m. It doubles with each failure. As long as the SMSC refuses connections it stays." reload:"hot"`
	ReconnectMax        time.Duration `toml:"reconnect_max" comment:"Upper end of the longest random wait before a bind is tried again, reconnect_min to 10m." reload:"hot"`

	OnUnknown       string   `toml:"on_unknown" comment:"What to do with a message that was written and not answered: hold (nothing: it may have been accepted) or resend_once (the phone may get it twice)." reload:"hot"`
	StatusOverrides []string `toml:"status_overrides" comment:"What a command_status means at this SMSC, as STATUS=CLASS such as \"0x00000400=throttled\" or \"ESME_RSUBMITFAIL=rejected\". Classes: throttled, temporary, unavailable, destination, sender, request, rejected." reload:"hot"`

	MessageIDFormat    string        `toml:"message_id_format" comment:"How the message ids of answers and receipts go together: auto, as_is, resp_hex_dlr_dec or resp_dec_dlr_hex (Kannel: msg-id-type)." reload:"hot"`
	RegisteredDelivery int           `toml:"registered_delivery" comment:"registered_delivery of messages, 0 to 31: 0 no receipts, 1 of success and failure, 17 with intermediate states." reload:"hot"`
	ReceiptPattern     string        `toml:"receipt_pattern" comment:"Regular expression for the text of receipts in a form of their own, with the groups id, stat and err. Empty: none is needed." reload:"hot"`
	ReceiptGrace       time.Duration `toml:"receipt_grace" comment:"How long after the end of a message's validity its final receipt is reported missing, 1s to 24h." reload:"hot"`
	ReceiptQueue       int           `toml:"receipt_queue" comment:"Receipts that may wait until they are recorded, 1 to 100000. Beyond it the SMSC is asked to send them later." reload:"hot"`
	QueryMissing       bool          `toml:"query_missing" comment:"Ask the SMSC once, with query_sm, for the state of a message whose receipt is missing." reload:"hot"`
	Cancel             bool          `toml:"cancel" comment:"Ask the SMSC, with cancel_sm, to drop a message not yet delivered when its code was validated or replaced." reload:"hot"`

	DefaultAlphabet  string `toml:"default_alphabet" comment:"What data_coding 0 means at this SMSC: gsm7, gsm7_packed, ascii or latin1 (Kannel: alt-charset)." reload:"hot"`
	GSM7DataCoding   int    `toml:"gsm7_data_coding" comment:"data_coding of texts in the default alphabet, 0 to 255." reload:"hot"`
	NationalLanguage string `toml:"national_language" comment:"Use this language's shift table of 3GPP TS 23.038: turkish, spanish or portuguese. Empty: none; not every phone knows them." reload:"hot"`
	Transliterate    bool   `toml:"transliterate" comment:"Write typographic quotes, dashes and the like plainly where that saves a text from UCS-2." reload:"hot"`
	MaxSegments      int    `toml:"max_segments" comment:"Short messages that one text may take, 1 to 10. A longer text is refused before anything is sent." reload:"hot"`
	Concatenation    string `toml:"concatenation" comment:"How the segments of a long text are told apart: udh8, udh16, sar or payload (one message_payload, which the SMSC splits)." reload:"hot"`

	SourceTON        int    `toml:"source_ton" comment:"Type of number of the sender, 0 to 255. -1: by its form: 5 for a name, 3 for a short code, 1 for a number with +." reload:"hot"`
	SourceNPI        int    `toml:"source_npi" comment:"Numbering plan of the sender, 0 to 255. -1: by its form: 1 for a number with +, else 0." reload:"hot"`
	DestinationTON   int    `toml:"destination_ton" comment:"Type of number of the recipient, 0 to 255. 1: international." reload:"hot"`
	DestinationNPI   int    `toml:"destination_npi" comment:"Numbering plan of the recipient, 0 to 255. 1: E.164." reload:"hot"`
	ServiceType      string `toml:"service_type" comment:"service_type of messages, at most 5 ASCII characters. Most SMSCs want none." reload:"hot"`
	ESMClass         int    `toml:"esm_class" comment:"Messaging mode in esm_class, 0 to 3: 0 as the SMSC does, 3 store and forward." reload:"hot"`
	Priority         int    `toml:"priority" comment:"priority_flag of messages, 0 to 3. Some SMSCs bill more for a higher one." reload:"hot"`
	ValidityPeriod   string `toml:"validity_period" comment:"How the SMSC is told for how long a message is worth delivering: relative, absolute (needs a right clock) or none." reload:"hot"`
	ReplaceType      int    `toml:"replace_type" comment:"1 to 7: messages of clients with replace = true overwrite the older one on the phone, with protocol_id 0x41 to 0x47 (3GPP TS 23.040 9.2.3.9). 0: never." reload:"hot"`
	ReplaceIfPresent bool   `toml:"replace_if_present" comment:"Messages of clients with replace = true take the place of an older one that still waits in the SMSC, with replace_if_present_flag 1." reload:"hot"`
}

// DefaultConfig is a careful account that still lacks its name, endpoints, system_id and password.
func DefaultConfig() Config {
	return Config{
		Tier:          1,
		Weight:        1,
		FailoverAfter: time.Second,

		InterfaceVersion: interface34,

		Binds:  2,
		Window: 10,
		Rate:   100,

		ConnectTimeout:      5 * time.Second,
		BindTimeout:         10 * time.Second,
		PDUReadTimeout:      10 * time.Second,
		ResponseTimeout:     10 * time.Second,
		EnquireLinkInterval: 30 * time.Second,
		WriteTimeout:        10 * time.Second,
		DrainTimeout:        10 * time.Second,
		ReconnectMin:        time.Second,
		ReconnectMax:        30 * time.Second,

		OnUnknown: unknownHold,

		MessageIDFormat:    idAuto,
		RegisteredDelivery: 1,
		ReceiptGrace:       5 * time.Minute,
		ReceiptQueue:       10_000,

		DefaultAlphabet: "gsm7",
		MaxSegments:     1,
		Concatenation:   "udh8",

		SourceTON:      -1,
		SourceNPI:      -1,
		DestinationTON: 1,
		DestinationNPI: 1,
		ValidityPeriod: validityRelative,
	}
}

// Values of on_unknown, message_id_format and validity_period.
const (
	unknownHold       = "hold"
	unknownResendOnce = "resend_once"

	idAuto      = "auto"
	idAsIs      = "as_is"
	idHexAnswer = "resp_hex_dlr_dec"
	idDecAnswer = "resp_dec_dlr_hex"

	validityRelative = "relative"
	validityAbsolute = "absolute"
	validityNone     = "none"
)

// transmits is the number of binds that can carry messages.
func (c Config) transmits() int { return c.Binds + c.Transmitters }

// receives says that receipts have a bind to come over.
func (c Config) receives() bool { return c.Binds+c.Receivers > 0 || c.OutbindListen != "" }
