package openapi_test

import (
	"testing"

	"github.com/getkin/kin-openapi/openapi3"

	"otpgw/httpapi/openapi"
)

var names = []string{"v0", "v0.5", "v1", "v2", "v2rc2", openapi.Side}

const root = "https://otp.example.com"

func TestDocumentsAreSound(t *testing.T) {
	for _, name := range names {
		d, err := openapi.New(name, root)
		if err != nil {
			t.Error(err)
			continue
		}
		for form, text := range map[string][]byte{"yaml": d.YAML, "json": d.JSON} {
			doc, err := openapi3.NewLoader().LoadFromData(text)
			if err != nil {
				t.Errorf("%s.%s: %v", name, form, err)
				continue
			}
			if err := doc.Validate(t.Context(), openapi3.EnableExamplesValidation()); err != nil {
				t.Errorf("%s.%s: %v", name, form, err)
			}
		}
	}
}

func TestOnlyWhatIsServedIsDescribed(t *testing.T) {
	for _, name := range []string{"", "v3", "v1.1", "vwip", "common"} {
		if _, err := openapi.New(name, root); err == nil {
			t.Errorf("there is a document of %q", name)
		}
	}
	for _, bad := range []string{"", "otp.example.com", "https://", "https://otp.example.com/", "https://otp.example.com/x", "https://u@otp.example.com?x", "://"} {
		if _, err := openapi.New("v1", bad); err == nil {
			t.Errorf("an API at %q", bad)
		}
	}
	all, err := openapi.All([]string{"v1", "v2"}, root)
	if err != nil || len(all) != 3 || all[0].Name != "v1" || all[1].Name != "v2" || all[2].Name != openapi.Side {
		t.Errorf("%v, %v", all, err)
	}
	if _, err := openapi.Handler("/", []string{"v3"}, root, nil); err == nil {
		t.Error("a page of a version that there is not")
	}
}
